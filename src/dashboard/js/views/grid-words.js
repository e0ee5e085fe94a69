// What the grid says in words about a column and about a student's progress.

import { cellLabel } from "../names.js";
import { standing } from "../outline.js";

/**
 * @import { Text } from "../i18n.js"
 * @import { Progress } from "../outline.js"
 * @import { Student } from "../student.js"
 * @import { Column } from "./grid-model.js"
 * @import { Page } from "./list.js"
 */

/**
 * A column: the cell's title, what a click shows, and how many students have succeeded in it.
 *
 * @param {Column} column
 * @param {Page} page
 */
export function describeColumn({ cell, planned, done }, { store, t, focus }) {
  const lines = [t.oneCell.open(cellLabel(cell, t))];
  const title = planned?.title;
  if (title) lines.unshift(title);
  const headings = planned?.headings ?? [];
  if (headings.length > 0) lines.unshift(headings.join(" › "));
  if (planned?.isExercise) lines.push(t.outline.exercise);
  const here = focus.ofTeam(store.rows.values()).length;
  if (planned !== null && here > 0) {
    lines.push(t.outline.progressHint(t.percent(done / here), done, here));
  }
  return lines.join("\n");
}

/**
 * How far a student is.
 *
 * @param {Progress} progress
 * @param {Student} student
 * @param {Text} t
 */
export function describeDone(progress, student, t) {
  const { exercises, done, median } = progress;
  const where = standing(progress, student);
  const hint = t.outline.doneHint(done.get(student) ?? 0, exercises, median);
  return where === 0 ? hint : `${hint} (${where < 0 ? t.outline.behind : t.outline.ahead})`;
}
