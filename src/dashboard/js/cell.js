// One cell's state over all students.

import { compareTexts } from "./fields.js";
import { messageKey } from "./matching.js";

/**
 * @import { NormalizedEvent } from "./normalize.js"
 * @import { Student } from "./student.js"
 */

/**
 * The most messages of a cell. A new one replaces the rarest; among equally rare ones, the one that
 * was seen longest ago.
 */
const MAX_MESSAGES = 20;

/** Stands between the parts of a key. No text of an event contains it. */
export const SEPARATOR = "\0";

/**
 * A cell's key in the maps of a class and of a student.
 *
 * @param {string | null} notebookPath
 * @param {string} cellId
 */
export function cellName(notebookPath, cellId) {
  return `${notebookPath ?? ""}${SEPARATOR}${cellId}`;
}

/**
 * One student's runs of one cell.
 *
 * @typedef {object} CellRuns
 * @property {number} runs
 * @property {number} failedRuns
 * @property {boolean} failed whether the latest run failed
 * @property {number} at when the latest run happened
 * @property {string | null} session the latest run's
 * @property {number | null} executionCount likewise
 * @property {number} time likewise, by the client's clock
 */

/**
 * No runs so far.
 *
 * @param {number} at when the first one will have happened
 * @returns {CellRuns}
 */
export function newRuns(at) {
  return {
    runs: 0,
    failedRuns: 0,
    failed: false,
    at,
    session: null,
    executionCount: null,
    time: at,
  };
}

/**
 * @param {CellRuns} runs
 * @param {NormalizedEvent} event
 */
export function addRun(runs, event) {
  runs.runs += 1;
  if (event.failed) runs.failedRuns += 1;
  // A run that arrives late does not become the latest.
  if (event.moment < runs.at) return;
  runs.failed = event.failed;
  runs.at = event.moment;
  runs.session = event.session;
  runs.executionCount = event.executionCount;
  runs.time = event.time;
}

/**
 * A message as it first came, by what it is counted, and how often it came.
 *
 * @typedef {{ message: string, key: string, count: number }} MessageCount
 */

/**
 * @typedef {object} Cell
 * @property {string | null} notebookPath
 * @property {string} cellId
 * @property {number | null} cellIndex
 * @property {number} runs
 * @property {number} failedRuns
 * @property {number} failingStudents
 * @property {MessageCount[]} messages the most frequent first
 * @property {Set<Student>} students those whose runs of the cell are in `Student.cells`
 */

/**
 * A cell that no student has run.
 *
 * @param {string | null} notebookPath
 * @param {string} cellId
 * @returns {Cell}
 */
export function newCell(notebookPath, cellId) {
  return {
    notebookPath,
    cellId,
    cellIndex: null,
    runs: 0,
    failedRuns: 0,
    failingStudents: 0,
    messages: [],
    students: new Set(),
  };
}

/**
 * Counts a message, and moves it before those that are not more frequent.
 *
 * @param {MessageCount[]} messages
 * @param {string} message
 */
export function addMessage(messages, message) {
  const key = messageKey(message);
  const known = messages.findIndex((other) => other.key === key);
  let counted = { message, key, count: 0 };
  if (known >= 0) [counted] = messages.splice(known, 1);
  else if (messages.length >= MAX_MESSAGES) messages.length = MAX_MESSAGES - 1;
  counted.count += 1;
  const after = messages.findIndex(({ count }) => count <= counted.count);
  messages.splice(after < 0 ? messages.length : after, 0, counted);
}

/**
 * Uncounts a student whose runs of the cell are forgotten.
 *
 * @param {Cell} cell
 * @param {Student} student
 */
export function removeStudent(cell, student) {
  cell.students.delete(student);
  const runs = student.cells.get(cellName(cell.notebookPath, cell.cellId));
  if (runs !== undefined && runs.failedRuns > 0) cell.failingStudents -= 1;
}

/**
 * Orders cells by notebook, by their place in it (those without one last) and by id.
 *
 * @param {Cell} a
 * @param {Cell} b
 */
export function compareCells(a, b) {
  return (
    compareTexts(a.notebookPath ?? "", b.notebookPath ?? "") ||
    compareIndexes(a.cellIndex, b.cellIndex) ||
    compareTexts(a.cellId, b.cellId)
  );
}

/**
 * @param {number | null} a
 * @param {number | null} b
 */
function compareIndexes(a, b) {
  // Two infinities have no difference.
  return a === b ? 0 : (a ?? Infinity) - (b ?? Infinity);
}
