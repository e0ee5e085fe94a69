// How students, notebooks and cells are called on the page.

import { cellName } from "./cell.js";

/**
 * @import { Text } from "./i18n.js"
 * @import { Store } from "./store.js"
 * @import { Student } from "./student.js"
 */

/** The most characters of a cell's id that are shown. */
const SHORT_ID = 8;

/** What can be seen of a text: not what joins, turns or separates characters. */
const VISIBLE = /[\p{L}\p{N}\p{P}\p{S}]/u;

/**
 * What a student is called: by the id, if there is no name that can be seen.
 *
 * @param {Pick<Student, "userName" | "studentId">} student
 */
export function studentName({ userName, studentId }) {
  return userName !== null && VISIBLE.test(userName) ? userName : studentId;
}

/** The longest id that stands beside a name, and the end of a longer one that does. */
const LONG_ID = 24;
const END_OF_ID = 6;

/**
 * An id to tell students of one name apart: of a long one its end, which differs.
 *
 * @param {string} id
 */
export function shortId(id) {
  return id.length > LONG_ID ? `…${id.slice(-END_OF_ID)}` : id;
}

/**
 * A student's name, and the id if somebody else has the same name.
 *
 * @param {Pick<Student, "userName" | "studentId">} student
 * @param {Store} store
 */
export function fullName(student, store) {
  const name = studentName(student);
  return store.hasNamesake(student) ? `${name} ${shortId(student.studentId)}` : name;
}

/**
 * A notebook's name without its folders and ending.
 *
 * @param {string | null} path
 * @param {Text} t
 */
export function notebookName(path, t) {
  if (path === null || path === "") return t.noNotebook;
  const name = path.slice(path.lastIndexOf("/") + 1).replace(/\.ipynb$/, "");
  return name === "" ? path : name;
}

/**
 * A cell's number. Clients count from 0; JupyterLab, which students look at, from 1.
 *
 * @param {{ cellIndex: number | null }} cell
 */
export function cellNumber({ cellIndex }) {
  return cellIndex === null ? null : cellIndex + 1;
}

/**
 * A cell by its number in the notebook, or by its id if that is not known.
 *
 * @param {{ cellId: string, cellIndex: number | null }} cell
 * @param {Text} t
 */
export function cellLabel(cell, t) {
  const number = cellNumber(cell);
  if (number !== null) return t.cell(number);
  return cell.cellId.length > SHORT_ID + 1 ? `${cell.cellId.slice(0, SHORT_ID)}…` : cell.cellId;
}

/**
 * Where a student is: the cell, and the notebook if the class has several.
 *
 * @param {Pick<Student, "notebookPath" | "cellId" | "cellIndex">} student
 * @param {Store} store
 * @param {Text} t
 */
export function placeLabel(student, store, t) {
  const { notebookPath, cellId } = student;
  const notebook = notebookName(notebookPath, t);
  if (cellId === null) return notebookPath === null ? t.noCell : notebook;
  const known = store.state.cells.get(cellName(notebookPath, cellId));
  const cellIndex = student.cellIndex ?? known?.cellIndex ?? null;
  const cell = cellLabel({ cellId, cellIndex }, t);
  return store.notebooks.size > 1 ? t.cellOf(notebook, cell) : cell;
}

/** CSI, OSC and two-byte sequences, as ECMA-48 has them. */
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])/g;

/**
 * A text without the escape sequences that colour a terminal.
 *
 * @param {string} text
 */
export function withoutAnsi(text) {
  return text.replace(ESCAPES, "");
}

/**
 * The first line of an error, as text that can be read.
 *
 * @param {unknown} message
 */
export function errorLine(message) {
  return typeof message === "string" ? withoutAnsi(message).trim() : "";
}
