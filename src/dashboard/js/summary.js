// A class's state from a summary, and a summary from a state. A rendered summary equals the relay's
// member for member: the shared test vectors compare both.

import { cellName, newCell } from "./cell.js";
import { compareTexts } from "./fields.js";
import { ClassState } from "./fold.js";
import { messageKey } from "./matching.js";
import { readSettings } from "./settings.js";
import { emptyCounts, leave, newStudent, statusAt } from "./student.js";
import { formatTime, parseTime } from "./time.js";

/**
 * @import { Cell, CellRuns } from "./cell.js"
 * @import { Absent, Lesson } from "./fold.js"
 * @import { Settings } from "./settings.js"
 * @import { Streak } from "./streaks.js"
 * @import { LastRun, Student } from "./student.js"
 */

/** The members whose text is a time. */
const STUDENT_TIMES = /** @type {const} */ ([
  "lastEventTime",
  "lastReceivedAt",
  "helpSince",
  "lastHelpAt",
  "helpClaimedAt",
  "handLoweredAt",
]);
/** The members of a student that are written only if they are true. */
const STUDENT_FLAGS = /** @type {const} */ (["helpUntilStop", "unconfigured"]);
const RUN_TIMES = /** @type {const} */ (["at", "receivedAt"]);

/**
 * Written as in the state, but that times are texts and absent members are left out.
 *
 * @typedef {Partial<Omit<LastRun, "at" | "receivedAt">> & { at: string, receivedAt: string }}
 *   WrittenRun
 * @typedef {Partial<Omit<Streak, "failedAt">> & { failures: number, failedAt: string }}
 *   WrittenStreak
 * @typedef {object} WrittenStudent
 * @property {string} studentId
 * @property {WrittenRun} [lastRun]
 * @property {WrittenStreak[]} [streaks]
 *
 * @typedef {{
 *   studentId: string, userName?: string, teamName?: string, lastReceivedAt?: string
 * }}
 *   WrittenAbsent
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
 * failed, and when it happened; of the latest, the execution count, the session's index in
 * `WrittenRow.sessions`, and the time by the client's clock if that is another.
 *
 * @typedef {[
 *   index: number, runs: number, failedRuns: number, failed: boolean, at: string,
 *   executionCount?: number | null, session?: number | null, time?: string | null,
 * ]}
 *   GridRuns
 * @typedef {{ studentId: string, sessions?: string[], runs: GridRuns[] }} WrittenRow
 */

/**
 * `lastReceivedAt` is when anything of the class was received last.
 *
 * @typedef {{ id: string, startedAt: string, lastReceivedAt?: string, title?: string }}
 *   WrittenLesson
 */

/**
 * The answer of `/api/class/summary`.
 *
 * @typedef {object} Summary
 * @property {string} now
 * @property {string} cursor
 * @property {WrittenLesson} [lesson]
 * @property {unknown} [settings]
 * @property {string} [settingsVersion] the event that made them
 * @property {WrittenStudent[]} students those who are here
 * @property {WrittenAbsent[]} [absent]
 * @property {WrittenCell[]} [cells]
 * @property {WrittenRow[]} [grid]
 * @property {{ start: string, runs: number, errors: number, help: number }[]} [activity]
 */

/**
 * The state that a summary describes. Events after the summary's cursor can be folded onto it.
 *
 * @param {Omit<Summary, "now" | "cursor">} summary
 */
export function restoreState(summary) {
  const here = summary.students.map(restoreStudent);
  const absent = (summary.absent ?? []).flatMap(restoreAbsent);
  const cells = (summary.cells ?? []).map(restoreCell);
  const students = [...absent, ...here].sort((a, b) => a.lastReceivedAt - b.lastReceivedAt);
  const state = new ClassState();
  state.restore({
    settings: readSettings(summary.settings),
    settingsEvent: Number(summary.settingsVersion ?? 0),
    lesson: restoreLesson(summary),
    lastReceivedAt: readTime(summary.lesson?.lastReceivedAt),
    students,
    cells,
    pairs: restorePairs(summary, here, cells),
    minutes: (summary.activity ?? []).map((minute) => ({
      ...minute,
      start: readTime(minute.start),
    })),
  });
  return state;
}

/**
 * A time that the relay wrote.
 *
 * @param {string | undefined} text
 */
function readTime(text) {
  return parseTime(text) ?? -Infinity;
}

/**
 * @param {Pick<Summary, "lesson">} summary
 * @returns {Lesson | null}
 */
function restoreLesson({ lesson }) {
  if (lesson === undefined) return null;
  const { id, startedAt, title } = lesson;
  return { first: Number(id), startedAt: readTime(startedAt), title: title ?? null };
}

/** @param {WrittenStudent} written */
function restoreStudent(written) {
  const { lastRun, streaks, ...rest } = written;
  const members = /** @type {{ [member: string]: unknown }} */ (rest);
  const student = newStudent(written.studentId, -Infinity);
  // `cells` is a member of the state, and was never one of a summary.
  const known = Object.keys(student).filter((name) => name in members && name !== "cells");
  Object.assign(student, Object.fromEntries(known.map((name) => [name, members[name]])));
  for (const name of STUDENT_TIMES) {
    const text = members[name];
    if (typeof text === "string") student[name] = readTime(text);
  }
  if (lastRun !== undefined) student.lastRun = restoreRun(lastRun);
  student.streaks = (streaks ?? []).map(restoreStreak);
  return student;
}

/**
 * None for somebody who was never there, whom the roster alone knows.
 *
 * @param {WrittenAbsent} written
 */
function restoreAbsent({ studentId, userName, teamName, lastReceivedAt }) {
  if (lastReceivedAt === undefined) return [];
  const student = leave(newStudent(studentId, readTime(lastReceivedAt)));
  student.userName = userName ?? null;
  student.teamName = teamName ?? null;
  return [student];
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

/**
 * @param {WrittenStreak} written
 * @returns {Streak}
 */
function restoreStreak(written) {
  return {
    notebookPath: written.notebookPath ?? null,
    cellId: written.cellId ?? null,
    cellIndex: written.cellIndex ?? null,
    failures: written.failures,
    failedAt: readTime(written.failedAt),
  };
}

/** @param {WrittenCell} written */
function restoreCell(written) {
  const cell = newCell(written.notebookPath ?? null, written.cellId);
  cell.cellIndex = written.cellIndex ?? null;
  cell.runs = written.runs;
  cell.failedRuns = written.failedRuns;
  cell.failingStudents = written.failingStudents;
  cell.messages = written.topErrors.map(({ message, count }) => ({
    message,
    key: messageKey(message),
    count,
  }));
  return cell;
}

/**
 * Gives the students and the cells their runs.
 *
 * @param {Pick<Summary, "grid">} summary
 * @param {Student[]} students
 * @param {Cell[]} cells
 */
function restorePairs({ grid }, students, cells) {
  const byId = new Map(students.map((student) => [student.studentId, student]));
  /** @type {[Student, Cell][]} */
  const pairs = [];
  for (const { studentId, sessions, runs } of grid ?? []) {
    const student = byId.get(studentId);
    if (student === undefined) continue;
    for (const written of runs) {
      const cell = cells[written[0]];
      const name = cellName(cell.notebookPath, cell.cellId);
      student.cells.set(name, restoreRuns(written, sessions ?? []));
      cell.students.add(student);
      pairs.push([student, cell]);
    }
  }
  return pairs;
}

/**
 * @param {GridRuns} written
 * @param {string[]} sessions
 * @returns {CellRuns}
 */
function restoreRuns([, runs, failedRuns, failed, at, executionCount, session, time], sessions) {
  const ranAt = readTime(at);
  return {
    runs,
    failedRuns,
    failed,
    at: ranAt,
    executionCount: executionCount ?? null,
    session: sessions[session ?? -1] ?? null,
    time: typeof time === "string" ? readTime(time) : ranAt,
  };
}

/**
 * The members of a summary that follow `now`, but for the settings.
 *
 * @param {ClassState} state
 * @param {number} now
 */
export function renderSummary(state, now) {
  const { lesson, settings } = state;
  const students = [...state.students.values()].filter(({ here }) => here).sort(compareStudents);
  const absent = state.absent().sort(compareStudents);
  const cells = state.orderedCells();
  const indices = new Map(
    cells.map((cell, index) => [cellName(cell.notebookPath, cell.cellId), index]),
  );
  const minutes = [...state.minutes.values()].sort((a, b) => a.start - b.start);
  return {
    ...(lesson && { lesson: renderLesson(lesson, state.lastReceivedAt) }),
    metrics: { ...renderMetrics(students, now, settings), absent: absent.length },
    students: students.map((student) => renderStudent(student, now, settings)),
    absent: absent.map(renderAbsent),
    cells: cells.map(renderCell),
    grid: students
      .filter((student) => student.cells.size > 0)
      .map((student) => renderRow(student, indices)),
    activity: minutes.map((minute) => ({ ...minute, start: formatTime(minute.start) })),
  };
}

/**
 * @param {{ studentId: string }} a
 * @param {{ studentId: string }} b
 */
function compareStudents(a, b) {
  return compareTexts(a.studentId, b.studentId);
}

/**
 * @param {Lesson} lesson
 * @param {number} lastReceivedAt
 */
function renderLesson({ first, startedAt, title }, lastReceivedAt) {
  const times = writeTimes({ startedAt, lastReceivedAt }, ["startedAt", "lastReceivedAt"]);
  return present({ id: String(first), ...times, title });
}

/**
 * @param {Student[]} students
 * @param {number} now
 * @param {Settings} settings
 */
function renderMetrics(students, now, settings) {
  const counts = emptyCounts();
  const totals = { students: students.length, cellsExecuted: 0, errorCount: 0 };
  for (const student of students) {
    counts[statusAt(student, now, settings)[0]] += 1;
    totals.cellsExecuted += student.cellsExecuted;
    totals.errorCount += student.errorCount;
  }
  return { ...totals, ...counts };
}

/**
 * @param {Student} student
 * @param {number} now
 * @param {Settings} settings
 */
function renderStudent(student, now, settings) {
  const { cells: _, here: __, lastRun, streaks, ...members } = student;
  const [status, until] = statusAt(student, now, settings);
  const last = streaks.at(-1);
  return present({
    ...members,
    ...writeTimes(members, STUDENT_TIMES),
    ...Object.fromEntries(STUDENT_FLAGS.map((name) => [name, members[name] || null])),
    onRoster: settings.roster.has(student.studentId) || null,
    consecutiveErrors: last?.failures ?? 0,
    streakCell: last?.cellId ?? null,
    streaks: streaks.map((streak) => present({ ...streak, failedAt: formatTime(streak.failedAt) })),
    lastRun: lastRun === null ? null : present({ ...lastRun, ...writeTimes(lastRun, RUN_TIMES) }),
    status,
    statusUntil: until === Infinity ? null : formatTime(until),
  });
}

/** @param {Absent} absent */
function renderAbsent({ studentId, userName, teamName, lastReceivedAt }) {
  const seen = writeTimes({ lastReceivedAt }, ["lastReceivedAt"]);
  return present({ studentId, userName, teamName, ...seen });
}

/** @param {Cell} cell */
function renderCell(cell) {
  const { messages, students, ...members } = cell;
  return present({
    ...members,
    students: students.size,
    topErrors: messages.map(({ message, count }) => ({ message, count })),
  });
}

/**
 * @param {Student} student
 * @param {Map<string, number>} indices of the cells, by `cellName`
 */
function renderRow(student, indices) {
  /** @type {[number, CellRuns][]} */
  const cells = [];
  for (const [name, runs] of student.cells) {
    const index = indices.get(name);
    if (index !== undefined) cells.push([index, runs]);
  }
  cells.sort(([a], [b]) => a - b);
  const named = cells.map(([, { session }]) => session).filter((session) => session !== null);
  const sessions = [...new Set(named)];
  const runs = cells.map(([index, { runs, failedRuns, failed, at, ...latest }]) => {
    const session = latest.session === null ? null : sessions.indexOf(latest.session);
    const time = latest.time === at ? null : formatTime(latest.time);
    return [index, runs, failedRuns, failed, formatTime(at), latest.executionCount, session, time];
  });
  return { studentId: student.studentId, sessions, runs };
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
