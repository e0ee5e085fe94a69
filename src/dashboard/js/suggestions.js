// What the page sees that the class's settings could mend.

import { notebookOf } from "./matching.js";

/** @import { ClassState } from "./fold.js" */

/** With fewer students nothing can be told. */
const LEAST_STUDENTS = 5;
/** With fewer cells likewise. */
const LEAST_CELLS = 10;

/** @typedef {"cells" | "notebooks"} Suggestion */

/**
 * What a suggestion changes.
 *
 * @type {Record<Suggestion, { [member: string]: string }>}
 */
export const REMEDIES = { cells: { cellsBy: "position" }, notebooks: { notebooksBy: "name" } };

/**
 * `cells`: most cells were run by one student only, so their ids differ from student to student.
 * `notebooks`: one file has several paths.
 *
 * @param {Pick<ClassState, "students" | "cells" | "settings">} state
 * @returns {Suggestion | null}
 */
export function suggestionFor({ students, cells, settings }) {
  let here = 0;
  for (const student of students.values()) if (student.here) here += 1;
  if (here < LEAST_STUDENTS) return null;
  // Paths first: cells of one notebook under several paths look like cells of several.
  if (settings.notebooksBy === "path" && hasOneNameTwice(cells.values())) return "notebooks";
  if (settings.cellsBy !== "id" || cells.size < LEAST_CELLS) return null;
  let alone = 0;
  for (const cell of cells.values()) if (cell.students.size === 1) alone += 1;
  return alone > cells.size / 2 ? "cells" : null;
}

/** @param {Iterable<{ notebookPath: string | null }>} cells */
function hasOneNameTwice(cells) {
  /** @type {Map<string, string>} */
  const paths = new Map();
  for (const { notebookPath } of cells) {
    const name = notebookOf(notebookPath, { notebooksBy: "name" });
    if (notebookPath === null || name === null) continue;
    const known = paths.get(name);
    if (known !== undefined && known !== notebookPath) return true;
    paths.set(name, notebookPath);
  }
  return false;
}
