// A student's status as a mark, and the statuses of several students as a bar or in words.

import { h, setAttribute, setVariable, show } from "../dom.js";
import { icon } from "../icons.js";
import { STATUSES, emptyCounts } from "../student.js";

/**
 * @import { Changes } from "../changes.js"
 * @import { Text } from "../i18n.js"
 * @import { Row } from "../store.js"
 * @import { Status } from "../student.js"
 */

/** @typedef {Record<Status, number>} Counts */

/**
 * A status as a mark, whose shape says as much as its colour.
 *
 * @param {Status} status
 * @param {Text} t
 */
export function statusMark(status, t) {
  const name = t.status[status];
  return h(
    "span",
    { class: "status-mark", title: name, data: { status } },
    icon(status),
    h("span", { class: "visually-hidden" }, name),
  );
}

/**
 * A bar of students by status; each part is as wide as its share.
 *
 * @param {Text} t
 */
export function statusBar(t) {
  const parts = STATUSES.map((status) => {
    const element = h("span", { class: "status-bar-part", data: { status } });
    return { status, element };
  });
  const element = h(
    "div",
    { class: "status-bar", role: "img" },
    parts.map((part) => part.element),
  );
  return {
    element,
    /**
     * @param {Counts} counts
     * @param {number} total the number that fills the whole bar
     * @param {string} [label]
     */
    update(counts, total, label) {
      for (const part of parts) {
        const count = counts[part.status];
        show(part.element, count > 0);
        setVariable(part.element, "--share", total > 0 ? count / total : 0);
      }
      setAttribute(element, "aria-label", label ?? describe(counts, t));
    },
  };
}

/**
 * @param {Counts} counts
 * @param {Text} t
 */
export function describe(counts, t) {
  return STATUSES.filter((status) => counts[status] > 0)
    .map((status) => `${t.status[status]} ${t.number(counts[status])}`)
    .join(", ");
}

/** @param {Row[]} rows */
export function countByStatus(rows) {
  const counts = emptyCounts();
  for (const row of rows) counts[row.status] += 1;
  return counts;
}

/**
 * Whether the list of the students of a status may have changed.
 *
 * @param {Changes} changes
 * @param {Status} status
 */
export function concerns(changes, status) {
  if (changes.all || changes.statuses) return true;
  for (const row of changes.students) if (row.status === status) return true;
  return false;
}
