// A class's state from a summary, and a summary from a state. A rendered summary equals the relay's
// member for member: the shared test vectors compare both.

import { ClassState, cellName, newCell } from "./fold.js";
import { compareTexts } from "./normalize.js";
import { emptyCounts, newStudent, statusAt } from "./student.js";
import { formatTime, parseTime } from "./time.js";

/**
 * @import { Cell } from "./fold.js"
 * @import { LastRun, Student } from "./student.js"
 */

/** The members whose text is a time. */
const STUDENT_TIMES = /** @type {const} */ ([
  "lastEventTime",
  "lastReceivedAt",
  "helpSince",
  "lastHelpAt",
  "handLoweredAt",
]);
const RUN_TIMES = /** @type {const} */ (["at", "receivedAt"]);

/**
 * Written as in the state, but that times are texts and absent members are left out.
 *
 * @typedef {Partial<Omit<LastRun, "at" | "receivedAt">> & { at: string, receivedAt: string }}
 *   WrittenRun
 * @typedef {{ studentId: string, lastRun?: WrittenRun, [member: string]: unknown }} WrittenStudent
 */

/**
 * @typedef {object} WrittenCell
 * @property {string} [notebookPath]
 * @property {string} cellId
 * @property {number} [cellIndex]
 * @property {number} runs
 * @property {number} failedRuns
 * @property {number} failingStudents
 * @property {{ message: string, count: number }[]} topErrors
 */

/**
 * One student's runs: the cell's index in `Summary.cells`, runs, failed runs, whether the latest
 * failed, and when it happened.
 *
 * @typedef {[index: number, runs: number, failedRuns: number, failed: boolean, at: string]}
 *   GridRuns
 */

/**
 * The answer of `/api/class/summary`.
 *
 * @typedef {object} Summary
 * @property {string} now
 * @property {string} cursor
 * @property {WrittenStudent[]} students
 * @property {WrittenCell[]} [cells]
 * @property {{ studentId: string, runs: GridRuns[] }[]} [grid]
 * @property {{ start: string, runs: number, errors: number, help: number }[]} [activity]
 */

/**
 * The state that a summary describes. Events after the summary's cursor can be folded onto it.
 *
 * @param {Pick<Summary, "students" | "cells" | "grid" | "activity">} summary
 */
export function restoreState(summary) {
  const students = summary.students.map(restoreStudent);
  const cells = (summary.cells ?? []).map(restoreCell);
  const byId = new Map(students.map((student) => [student.studentId, student]));
  /** @type {[Student, Cell][]} */
  const pairs = [];
  for (const { studentId, runs } of summary.grid ?? []) {
    const student = byId.get(studentId);
    if (student === undefined) continue;
    for (const [index, count, failedRuns, failed, at] of runs) {
      const cell = cells[index];
      const name = cellName(cell.notebookPath, cell.cellId);
      student.cells.set(name, { runs: count, failedRuns, failed, at: readTime(at) });
      cell.students.add(student);
      pairs.push([student, cell]);
    }
  }
  const minutes = (summary.activity ?? []).map((minute) => ({
    ...minute,
    start: readTime(minute.start),
  }));
  students.sort((a, b) => a.lastReceivedAt - b.lastReceivedAt);
  const state = new ClassState();
  state.restore(students, cells, pairs, minutes);
  return state;
}

/**
 * A time that the relay wrote.
 *
 * @param {string} text
 */
function readTime(text) {
  return parseTime(text) ?? 0;
}

/** @param {WrittenStudent} written */
function restoreStudent(written) {
  const { lastRun, cells: _, ...members } = written;
  const student = newStudent(written.studentId, 0);
  const known = Object.keys(student).filter((name) => name in members);
  Object.assign(student, Object.fromEntries(known.map((name) => [name, members[name]])));
  for (const name of STUDENT_TIMES) {
    const text = members[name];
    if (typeof text === "string") student[name] = readTime(text);
  }
  if (lastRun !== undefined) student.lastRun = restoreRun(lastRun);
  return student;
}

/**
 * @param {WrittenRun} written
 * @returns {LastRun}
 */
function restoreRun(written) {
  return {
    sessionId: written.sessionId ?? null,
    notebookPath: written.notebookPath ?? null,
    cellId: written.cellId ?? null,
    executionCount: written.executionCount ?? null,
    at: readTime(written.at),
    receivedAt: readTime(written.receivedAt),
  };
}

/** @param {WrittenCell} written */
function restoreCell(written) {
  const cell = newCell(written.notebookPath ?? null, written.cellId);
  cell.cellIndex = written.cellIndex ?? null;
  cell.runs = written.runs;
  cell.failedRuns = written.failedRuns;
  cell.failingStudents = written.failingStudents;
  cell.messages = written.topErrors.map(({ message, count }) => [message, count]);
  return cell;
}

/**
 * The members of a summary that follow `now`.
 *
 * @param {ClassState} state
 * @param {number} now
 */
export function renderSummary(state, now) {
  const students = [...state.students.values()].sort((a, b) =>
    compareTexts(a.studentId, b.studentId),
  );
  const cells = state.orderedCells();
  const indices = new Map(
    cells.map((cell, index) => [cellName(cell.notebookPath, cell.cellId), index]),
  );
  const minutes = [...state.minutes.values()].sort((a, b) => a.start - b.start);
  return {
    metrics: renderMetrics(students, now),
    students: students.map((student) => renderStudent(student, now)),
    cells: cells.map(renderCell),
    grid: students
      .filter((student) => student.cells.size > 0)
      .map((student) => renderRuns(student, indices)),
    activity: minutes.map((minute) => ({ ...minute, start: formatTime(minute.start) })),
  };
}

/**
 * @param {Student[]} students
 * @param {number} now
 */
function renderMetrics(students, now) {
  const counts = emptyCounts();
  const totals = { students: students.length, cellsExecuted: 0, errorCount: 0 };
  for (const student of students) {
    counts[statusAt(student, now)[0]] += 1;
    totals.cellsExecuted += student.cellsExecuted;
    totals.errorCount += student.errorCount;
  }
  return { ...totals, ...counts };
}

/**
 * @param {Student} student
 * @param {number} now
 */
function renderStudent(student, now) {
  const { cells: _, lastRun, ...members } = student;
  const [status, until] = statusAt(student, now);
  return present({
    ...members,
    ...writeTimes(members, STUDENT_TIMES),
    lastRun: lastRun === null ? null : present({ ...lastRun, ...writeTimes(lastRun, RUN_TIMES) }),
    status,
    statusUntil: until === Infinity ? null : formatTime(until),
  });
}

/** @param {Cell} cell */
function renderCell(cell) {
  const { messages, students, ...members } = cell;
  return present({
    ...members,
    students: students.size,
    topErrors: messages.map(([message, count]) => ({ message, count })),
  });
}

/**
 * @param {Student} student
 * @param {Map<string, number>} indices of the cells, by `cellName`
 */
function renderRuns(student, indices) {
  /** @type {GridRuns[]} */
  const runs = [];
  for (const [name, { runs: count, failedRuns, failed, at }] of student.cells) {
    const index = indices.get(name);
    if (index !== undefined) runs.push([index, count, failedRuns, failed, formatTime(at)]);
  }
  return { studentId: student.studentId, runs: runs.sort((a, b) => a[0] - b[0]) };
}

/**
 * @template {string} Name
 * @param {{ [name in Name]: number | null }} object
 * @param {readonly Name[]} names
 */
function writeTimes(object, names) {
  return Object.fromEntries(
    names.map((name) => {
      const time = object[name];
      return [name, time === null ? null : formatTime(time)];
    }),
  );
}

/**
 * Without the members that are `null`.
 *
 * @param {object} object
 */
function present(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));
}
