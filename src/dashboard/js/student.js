// One student's state, and the rules by which an event changes it. The relay has the same rules in
// Rust, with the reason for each: see src/state. Times are in microseconds; absent is `null`.

import { MINUTE, SECOND } from "./time.js";

/** @import { NormalizedEvent } from "./normalize.js" */

/** A run that repeats the last one has a time that is this close to it. */
const REPEAT_WINDOW = 5 * SECOND;
/** A hand counts as lowered when `help` was not repeated for this long. */
export const HELP_LAPSE = 75 * SECOND;
/** A `help` that is older than the `help_stop` by less than this was overtaken on its way. */
const OVERTAKEN_WINDOW = 10 * SECOND;
/** So many failures in a row on one cell make a student stuck. */
const STUCK_FAILURES = 3;
const ERROR_SPAN = 5 * MINUTE;
const ACTIVE_SPAN = 2 * MINUTE;

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
 * One student's runs of one cell.
 *
 * @typedef {object} CellRuns
 * @property {number} runs
 * @property {number} failedRuns
 * @property {boolean} failed whether the latest run failed
 * @property {number} at when the latest run happened
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
 * @property {number} consecutiveErrors
 * @property {string | null} streakCell the cell of the failures in a row
 * @property {LastRun | null} lastRun
 * @property {number | null} helpSince
 * @property {number | null} lastHelpAt
 * @property {boolean} handClosed whether an instructor resolved the hand that is up
 * @property {number | null} handLoweredAt
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
    consecutiveErrors: 0,
    streakCell: null,
    lastRun: null,
    helpSince: null,
    lastHelpAt: null,
    handClosed: false,
    handLoweredAt: null,
    cells: new Map(),
  };
}

/**
 * Whether the event is the last run, sent again.
 *
 * @param {Student} student
 * @param {NormalizedEvent} event
 */
export function isRepeat(student, event) {
  const last = student.lastRun;
  return (
    last !== null &&
    event.executionCount !== null &&
    last.executionCount === event.executionCount &&
    last.cellId === event.cell &&
    last.notebookPath === event.notebook &&
    last.sessionId === event.session &&
    Math.abs(event.time - last.at) <= REPEAT_WINDOW
  );
}

/**
 * Folds an instructor's `help_resolved`, which changes nothing but the hand.
 *
 * @param {Student} student
 */
export function resolve(student) {
  if (student.helpSince === null) return;
  student.helpSince = null;
  student.handClosed = true;
}

/**
 * Folds any other event that is no repeat. Returns whether a hand went up.
 *
 * @param {Student} student
 * @param {NormalizedEvent} event
 */
export function foldStudent(student, event) {
  const late = event.moment < Math.min(student.lastEventTime, student.lastReceivedAt);
  student.lastReceivedAt = Math.max(student.lastReceivedAt, event.received);
  if (!late) updateLast(student, event);
  switch (event.kind) {
    case "cell_executed":
      foldRun(student, event, late);
      return false;
    case "help":
      return foldHelp(student, event);
    case "help_stop":
      student.helpSince = null;
      student.lastHelpAt = null;
      student.handClosed = false;
      student.handLoweredAt = Math.max(student.handLoweredAt ?? -Infinity, event.moment);
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
 * @param {boolean} late whether something newer was folded before
 */
function foldRun(student, event, late) {
  student.cellsExecuted += 1;
  if (event.failed) student.errorCount += 1;
  if (late) return;
  // A first run follows on a run of no cell.
  const last = student.lastRun ?? { cellId: null, notebookPath: null };
  const sameCell = last.cellId === event.cell && last.notebookPath === event.notebook;
  if (event.failed) {
    student.consecutiveErrors = sameCell ? student.consecutiveErrors + 1 : 1;
    student.streakCell = event.cell;
  } else {
    student.consecutiveErrors = 0;
    student.streakCell = null;
  }
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
 * @param {Student} student
 * @param {NormalizedEvent} event
 */
function foldHelp(student, event) {
  const lowered = student.handLoweredAt;
  if (lowered !== null && lowered - OVERTAKEN_WINDOW < event.moment && event.moment < lowered) {
    return false;
  }
  const lapsed = student.lastHelpAt === null || event.received - student.lastHelpAt >= HELP_LAPSE;
  const raised = lapsed || (student.helpSince === null && !student.handClosed);
  if (raised) {
    student.helpSince = event.received;
    student.handClosed = false;
  }
  student.lastHelpAt = Math.max(student.lastHelpAt ?? -Infinity, event.received);
  return raised;
}

/**
 * The student's status at `now`, by the database's clock, and the moment at which time alone ends
 * it (`Infinity`: never).
 *
 * @param {Student} student
 * @param {number} now
 * @returns {[Status, number]}
 */
export function statusAt(student, now) {
  const { helpSince, lastHelpAt, consecutiveErrors, lastRun, lastReceivedAt } = student;
  if (helpSince !== null && lastHelpAt !== null && now < lastHelpAt + HELP_LAPSE) {
    return ["help", lastHelpAt + HELP_LAPSE];
  }
  if (consecutiveErrors >= STUCK_FAILURES) return ["stuck", Infinity];
  if (consecutiveErrors > 0 && lastRun !== null && now < lastRun.receivedAt + ERROR_SPAN) {
    return ["error", lastRun.receivedAt + ERROR_SPAN];
  }
  if (now < lastReceivedAt + ACTIVE_SPAN) return ["active", lastReceivedAt + ACTIVE_SPAN];
  return ["idle", Infinity];
}
