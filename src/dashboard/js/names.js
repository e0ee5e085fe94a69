// How students, notebooks and cells are called on the page.

import { cellName } from "./fold.js";

/** Longest id that is shown whole. */
const SHORT_ID = 8;

export function studentName(student) {
  return student.userName ?? student.studentId;
}

/** A notebook's name without its folders and ending. */
export function notebookName(path, t) {
  if (path === null || path === "") return t.noNotebook;
  return path.split("/").at(-1).replace(/\.ipynb$/, "");
}

/** A cell by its place in the notebook; by its id if that is not known. */
export function cellLabel(cell, t) {
  if (cell.cellIndex !== null) return t.cell(cell.cellIndex);
  return cell.cellId.length > SHORT_ID + 1 ? `${cell.cellId.slice(0, SHORT_ID)}…` : cell.cellId;
}

/** Where a student is: the cell, with the notebook where there are several. */
export function placeLabel(student, store, t) {
  const notebook = notebookName(student.notebookPath, t);
  if (student.cellId === null) return student.notebookPath === null ? t.noCell : notebook;
  const known = store.state.cells.get(cellName(student.notebookPath, student.cellId));
  const cell = cellLabel({ cellId: student.cellId, cellIndex: student.cellIndex ?? known?.cellIndex ?? null }, t);
  return store.notebooks.size > 1 ? t.cellOf(notebook, cell) : cell;
}

/** A text without the escape sequences that colour a terminal. */
export function withoutAnsi(text) {
  // CSI, OSC and two-byte sequences, as ECMA-48 has them.
  return text.replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])/g, "");
}

/** An error's first line, to be read. */
export function errorLine(message) {
  return typeof message === "string" ? withoutAnsi(message).trim() : "";
}
