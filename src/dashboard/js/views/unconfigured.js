// The students whose extension was never told who they are, and what to tell them. They can be told
// apart, by their sessions, but not be called by name.

import { studentButton } from "../components/student-button.js";
import { List, h, setText, show } from "../dom.js";

/**
 * @import { Row } from "../store.js"
 * @import { Page, View } from "./list.js"
 */

/** The most students that are named. */
const MAX_NAMES = 60;

/**
 * @param {Page} page
 * @returns {View}
 */
export default function unconfigured(page) {
  const { store, t } = page;
  const text = h("summary");
  const list = h("ul", { class: "unconfigured-list" });
  const help = h("p", {}, t.unconfigured.tell);
  const hint = h("p", {}, t.unconfigured.hint);
  const element = h("details", { class: "notice", hidden: true }, text, help, hint, list);

  /** @type {List<Row, ReturnType<typeof item>>} */
  const items = new List(list, {
    key: ({ student }) => student.studentId,
    create: ({ student }) => item(page, student.studentId),
    update: ({ name }, { student }) => name.update(student),
  });

  return {
    element,
    slot: "top",
    updateCalmly(changes) {
      if (!changes.all && !changes.statuses && changes.students.size === 0) return;
      const found = [...store.rows.values()].filter(({ student }) => student.unconfigured);
      show(element, found.length > 0);
      setText(text, t.unconfigured.summary(found.length));
      items.show(found.slice(0, MAX_NAMES));
    },
  };
}

/**
 * @param {Page} page
 * @param {string} studentId
 */
function item(page, studentId) {
  const name = studentButton(page, studentId);
  return { element: h("li", {}, name.element), name };
}
