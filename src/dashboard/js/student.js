// One student's state, and the rules by which an event changes it. The relay has the same rules in
// Rust, with the reason for each: see src/state. Times are in microseconds; absent is `null`.

import { cellName } from "./cell.js";
import { handUntil, lower, raise } from "./hand.js";
import { addFailure, afterSuccess } from "./streaks.js";
import { MINUTE, SECOND } from "./time.js";

/**
 * @import { CellRuns } from "./cell.js"
 * @import { NormalizedEvent } from "./normalize.js"
 * @import { Enrolled, Settings } from "./settings.js"
 * @import { Streak } from "./streaks.js"
 */

/** A run that repeats the latest one of its cell has a time that is this close to it. */
const REPEAT_WINDOW = 5 * SECOND;
const ERROR_SPAN = 5 * MINUTE;
/** When nothing is heard of a student for this long, the failures in a row end. */
const SILENCE = 30 * MINUTE;

/** @typedef {"help" | "stuck" | "error" | "active" | "idle"} Status */

/**
 * The statuses that a student may have, the most urgent first.
 *
 * @type {readonly Status[]}
 */
export const STATUSES = ["help", "stuck", "error", "active", "idle"];

/**
 * The number of students of each status, before any is counted.
 *
 * @returns {Record<Status, number>}
 */
export function emptyCounts() {
  return { help: 0, stuck: 0, error: 0, active: 0, idle: 0 };
}

/**
 * @typedef {object} LastRun
 * @property {string | null} sessionId
 * @property {string | null} notebookPath
 * @property {string | null} cellId
 * @property {number | null} executionCount
 * @property {number} at
 * @property {number} receivedAt
 */

/**
 * @typedef {object} Student
 * @property {string} studentId
 * @property {string | null} userName
 * @property {string | null} teamName
 * @property {string | null} notebookPath
 * @property {string | null} cellId
 * @property {number | null} cellIndex
 * @property {string | null} lastEventType
 * @property {number} lastEventTime
 * @property {number} lastReceivedAt
 * @property {number} cellsExecuted
 * @property {number} errorCount
 * @property {Streak[]} streaks the failures in a row by cell, the cell that failed last at the end
 * @property {LastRun | null} lastRun
 * @property {number | null} helpSince
 * @property {number | null} lastHelpAt
 * @property {string | null} helpMessage the beginning of what the student wrote with the hand
 * @property {boolean} helpUntilStop whether the hand stays up without a further `help`
 * @property {string | null} helpClaimedBy who is on the way
 * @property {number | null} helpClaimedAt
 * @property {boolean} handClosed whether an instructor resolved the hand that is up
 * @property {number | null} handLoweredAt
 * @property {boolean} unconfigured whether the student's client does not know whose it is
 * @property {boolean} here whether the student was heard of in this lesson
 * @property {Map<string, CellRuns>} cells by `cellName`
 */

/**
 * A student of whom only one thing is known: something came at `received`.
 *
 * @param {string} studentId
 * @param {number} received
 * @returns {Student}
 */
export function newStudent(studentId, received) {
  return {
    studentId,
    userName: null,
    teamName: null,
    notebookPath: null,
    cellId: null,
    cellIndex: null,
    lastEventType: null,
    lastEventTime: -Infinity,
    lastReceivedAt: received,
    cellsExecuted: 0,
    errorCount: 0,
    streaks: [],
    lastRun: null,
    helpSince: null,
    lastHelpAt: null,
    helpMessage: null,
    helpUntilStop: false,
    helpClaimedBy: null,
    helpClaimedAt: null,
    handClosed: false,
    handLoweredAt: null,
    unconfigured: false,
    here: true,
    cells: new Map(),
  };
}

/**
 * Makes the student one who is not here yet: a lesson began.
 *
 * @param {Student} student
 */
export function leave(student) {
  renew(student, student.lastReceivedAt);
  student.here = false;
  return student;
}

/**
 * Makes the student, of whom something came at `received`, one who is here.
 *
 * @param {Student} student
 * @param {number} received
 */
export function arrive(student, received) {
  if (!student.here) renew(student, received);
}

/**
 * Forgets all but the names.
 *
 * @param {Student} student
 * @param {number} received
 */
function renew(student, received) {
  const { studentId, userName, teamName } = student;
  Object.assign(student, newStudent(studentId, received), { userName, teamName });
}

/**
 * Whether the event is the cell's latest run, sent again. Runs that name no cell are compared with
 * the last run.
 *
 * @param {Student} student
 * @param {NormalizedEvent} event a run
 */
export function isRepeat(student, event) {
  if (event.executionCount === null) return false;
  if (event.cell !== null) {
    const runs = student.cells.get(cellName(event.notebook, event.cell));
    return (
      runs !== undefined &&
      runs.executionCount === event.executionCount &&
      runs.session === event.session &&
      Math.abs(event.time - runs.time) <= REPEAT_WINDOW
    );
  }
  const last = student.lastRun;
  return (
    last !== null &&
    last.cellId === null &&
    last.notebookPath === event.notebook &&
    last.executionCount === event.executionCount &&
    last.sessionId === event.session &&
    Math.abs(event.time - last.at) <= REPEAT_WINDOW
  );
}

/**
 * Folds an event of the student's that is no repeat. Returns whether a hand went up.
 *
 * @param {Student} student
 * @param {NormalizedEvent} event
 * @param {Enrolled | undefined} enrolled the student's entry in the roster
 */
export function foldStudent(student, event, enrolled) {
  arrive(student, event.received);
  const late = event.moment < Math.min(student.lastEventTime, student.lastReceivedAt);
  if (event.received >= student.lastReceivedAt + SILENCE) student.streaks = [];
  student.lastReceivedAt = Math.max(student.lastReceivedAt, event.received);
  if (!late) updateLast(student, event);
  // The roster's names are better than those that clients have.
  student.userName = enrolled?.name ?? student.userName;
  student.teamName = enrolled?.team ?? student.teamName;
  switch (event.kind) {
    case "run":
      foldRun(student, event);
      return false;
    case "help":
      return raise(student, event);
    case "help_stop":
      lower(student, event);
      return false;
    default:
      return false;
  }
}

/**
 * Takes the names and the place of the newest event.
 *
 * @param {Student} student
 * @param {NormalizedEvent} event
 */
function updateLast(student, event) {
  student.lastEventTime = event.time;
  student.lastEventType = event.eventType;
  student.userName = event.userName ?? student.userName;
  student.teamName = event.teamName ?? student.teamName;
  student.unconfigured = event.isUnconfigured;
  if (event.notebook !== null && event.notebook !== student.notebookPath) {
    student.notebookPath = event.notebook;
    student.cellId = null;
    student.cellIndex = null;
  }
  if (event.cell !== null) {
    student.cellId = event.cell;
    student.cellIndex = event.cellIndex;
  }
}

/**
 * @param {Student} student
 * @param {NormalizedEvent} event
 */
function foldRun(student, event) {
  student.cellsExecuted += 1;
  if (event.failed) student.errorCount += 1;
  const last = student.lastRun;
  // A run that happened before the last one does not follow on it.
  if (last !== null && event.moment < Math.min(last.at, last.receivedAt)) return;
  if (event.failed) addFailure(student.streaks, event);
  else student.streaks = afterSuccess(student.streaks, event);
  student.lastRun = {
    sessionId: event.session,
    notebookPath: event.notebook,
    cellId: event.cell,
    executionCount: event.executionCount,
    at: event.time,
    receivedAt: event.received,
  };
}

/**
 * The failures in a row that say most about a student: on the cell that failed last among those
 * that make the student stuck, or else among all.
 *
 * @param {Student} student
 * @param {Settings} settings
 */
export function worstStreak({ streaks }, { stuckAfter }) {
  return streaks.findLast(({ failures }) => failures >= stuckAfter) ?? streaks.at(-1) ?? null;
}

/**
 * The status at `now`, by the database's clock, of a student who is here, and the moment at which
 * time alone ends it (`Infinity`: never).
 *
 * @param {Student} student
 * @param {number} now
 * @param {Settings} settings of the class
 * @returns {[Status, number]}
 */
export function statusAt(student, now, { stuckAfter, idleAfter }) {
  const { streaks, lastReceivedAt } = student;
  const last = streaks.at(-1);
  const isStuck = streaks.some(({ failures }) => failures >= stuckAfter);
  /** @type {[Status, number][]} */
  const ends = [
    ["help", handUntil(student)],
    ["stuck", isStuck ? lastReceivedAt + SILENCE : -Infinity],
    ["error", last === undefined ? -Infinity : last.failedAt + ERROR_SPAN],
    ["active", lastReceivedAt + idleAfter],
  ];
  return ends.find(([, until]) => now < until) ?? ["idle", Infinity];
}
