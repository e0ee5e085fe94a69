import { bdi, h, setAttribute, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { shortId, studentName } from "../names.js";

/**
 * @import { Student } from "../student.js"
 * @import { Page } from "../views/list.js"
 */

/**
 * A student's name as a button that opens the student's drawer. Beside it stands the id, if
 * somebody else has the same name, and a mark, if the name says nothing.
 *
 * @param {Page} page
 * @param {string} studentId
 * @param {() => void} [open] instead of opening the drawer alone
 */
export function studentButton(page, studentId, open = () => page.open(studentId)) {
  const { store, t } = page;
  const name = bdi();
  const button = h("button", { type: "button", class: "student-name", on: { click: open } }, name);
  const id = bdi("", { class: "student-id" });
  const mark = h("span", { class: "unconfigured-mark", title: t.unconfigured.mark });
  mark.append(icon("warning"), h("span", { class: "visually-hidden" }, t.unconfigured.mark));
  return {
    element: h("span", { class: "student" }, button, mark, id),
    /** @param {Pick<Student, "studentId" | "userName"> & { unconfigured?: boolean }} student */
    update(student) {
      const isShared = store.hasNamesake(student) && student.userName !== null;
      setText(name, studentName(student));
      setAttribute(button, "title", name.textContent);
      setText(id, isShared ? shortId(studentId) : "");
      setAttribute(id, "title", studentId);
      show(id, isShared);
      show(mark, student.unconfigured === true);
    },
  };
}
