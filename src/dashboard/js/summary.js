// A class's state to and from the summary's form. What is written here is, member for member, what the relay writes: the
// shared vectors compare both.

import { ClassState, cellName, newCell } from "./fold.js";
import { compareTexts } from "./normalize.js";
import { STATUSES, newStudent, statusAt } from "./student.js";
import { formatTime, parseTime } from "./time.js";

const STUDENT_TIMES = ["lastEventTime", "lastReceivedAt", "helpSince", "lastHelpAt", "handLoweredAt"];
const RUN_TIMES = ["at", "receivedAt"];
const RUN = { sessionId: null, notebookPath: null, cellId: null, executionCount: null, at: 0, receivedAt: 0 };

/** The state that a summary holds, to be folded on. */
export function restoreState(summary) {
  const students = summary.students.map(restoreStudent);
  const cells = (summary.cells ?? []).map(restoreCell);
  const byId = new Map(students.map((student) => [student.studentId, student]));
  const pairs = [];
  for (const { studentId, runs } of summary.grid ?? []) {
    const student = byId.get(studentId);
    if (student === undefined) continue;
    for (const [place, count, failedRuns, failed, at] of runs) {
      const cell = cells[place];
      const name = cellName(cell.notebookPath, cell.cellId);
      student.cells.set(name, { runs: count, failedRuns, failed, at: parseTime(at) });
      cell.students.add(student);
      pairs.push([student, cell]);
    }
  }
  const minutes = (summary.activity ?? []).map((minute) => ({ ...minute, start: parseTime(minute.start) }));
  students.sort((a, b) => a.lastReceivedAt - b.lastReceivedAt);
  const state = new ClassState();
  state.restore(students, cells, pairs, minutes);
  return state;
}

function restoreStudent(written) {
  const student = { ...newStudent(written.studentId, 0), cells: new Map() };
  for (const name of Object.keys(student)) {
    if (name in written && name !== "cells") student[name] = written[name];
  }
  readTimes(student, STUDENT_TIMES);
  if (student.lastRun !== null) student.lastRun = readTimes({ ...RUN, ...student.lastRun }, RUN_TIMES);
  return student;
}

function readTimes(object, names) {
  for (const name of names) if (typeof object[name] === "string") object[name] = parseTime(object[name]);
  return object;
}

function restoreCell(written) {
  const cell = newCell(written.notebookPath ?? null, written.cellId);
  cell.cellIndex = written.cellIndex ?? null;
  cell.runs = written.runs;
  cell.failedRuns = written.failedRuns;
  cell.failingStudents = written.failingStudents;
  cell.messages = written.topErrors.map(({ message, count }) => [message, count]);
  return cell;
}

/** The members of a summary that follow `now`. */
export function renderSummary(state, now) {
  const students = [...state.students.values()].sort((a, b) => compareTexts(a.studentId, b.studentId));
  const metrics = { students: students.length, cellsExecuted: 0, errorCount: 0 };
  for (const status of STATUSES) metrics[status] = 0;
  for (const student of students) {
    metrics[statusAt(student, now)[0]] += 1;
    metrics.cellsExecuted += student.cellsExecuted;
    metrics.errorCount += student.errorCount;
  }
  const cells = state.orderedCells();
  const places = new Map(cells.map((cell, place) => [cellName(cell.notebookPath, cell.cellId), place]));
  const minutes = [...state.minutes.values()].sort((a, b) => a.start - b.start);
  return {
    metrics,
    students: students.map((student) => writeStudent(student, now)),
    cells: cells.map(writeCell),
    grid: students.filter((student) => student.cells.size > 0).map((student) => writeRow(student, places)),
    activity: minutes.map((minute) => ({ ...minute, start: formatTime(minute.start) })),
  };
}

function writeStudent(student, now) {
  const written = present(student, STUDENT_TIMES);
  delete written.cells;
  if (student.lastRun !== null) written.lastRun = present(student.lastRun, RUN_TIMES);
  const [status, until] = statusAt(student, now);
  written.status = status;
  if (until !== Infinity) written.statusUntil = formatTime(until);
  return written;
}

function writeCell(cell) {
  const { notebookPath, cellId, cellIndex, runs, failedRuns, failingStudents } = cell;
  const topErrors = cell.messages.map(([message, count]) => ({ message, count }));
  const students = cell.students.size;
  return present({ notebookPath, cellId, cellIndex, runs, students, failedRuns, failingStudents, topErrors }, []);
}

function writeRow(student, places) {
  const runs = [...student.cells].map(([name, { runs, failedRuns, failed, at }]) => [
    places.get(name),
    runs,
    failedRuns,
    failed,
    formatTime(at),
  ]);
  return { studentId: student.studentId, runs: runs.sort((a, b) => a[0] - b[0]) };
}

/** What is there, with its times as text. */
function present(object, times) {
  const there = Object.entries(object).filter(([, value]) => value !== null);
  return Object.fromEntries(there.map(([name, value]) => [name, times.includes(name) ? formatTime(value) : value]));
}
