import { bdi, h, setText } from "../dom.js";
import { studentName } from "../names.js";

/**
 * @import { Student } from "../student.js"
 * @import { Page } from "../views/list.js"
 */

/**
 * A student's name as a button that opens the student's drawer.
 *
 * @param {Page} page
 * @param {string} studentId
 */
export function studentButton(page, studentId) {
  const name = bdi();
  const open = () => page.open(studentId);
  const element = h("button", { type: "button", class: "student-name", on: { click: open } }, name);
  return {
    element,
    /** @param {Pick<Student, "studentId" | "userName">} student */
    update: (student) => setText(name, studentName(student)),
  };
}
