// One student's state, and the rules by which an event changes it: the twin of src/state/student.rs, where the rules are
// written down. Times are in microseconds; absent is `null`.

import { MINUTE, SECOND } from "./time.js";

/** A run that is the last one once more has a time this close to it. */
const REPEAT_WINDOW = 5 * SECOND;
/** Without a repeat of `help` for this long a hand is down. */
export const HELP_LAPSE = 75 * SECOND;
/** A `help` from before the `help_stop` by less than this was overtaken on its way. */
const OVERTAKEN_WINDOW = 10 * SECOND;
/** Failures in a row on one cell that make a student stuck. */
const STUCK_FAILURES = 3;
const ERROR_SPAN = 5 * MINUTE;
const ACTIVE_SPAN = 2 * MINUTE;

/** What a student may be doing, the most urgent first. */
export const STATUSES = ["help", "stuck", "error", "active", "idle"];

/** A student of whom nothing is known but that something came at `received`. */
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
  };
}

/** Whether the event is the last run sent again. */
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

/** The instructor's act: it changes the hand alone. */
export function resolve(student) {
  if (student.helpSince === null) return;
  student.helpSince = null;
  student.handClosed = true;
}

/** Folds an event that is neither a repeat nor an instructor's; returns whether a hand went up. */
export function foldStudent(student, event) {
  const late = event.moment < Math.min(student.lastEventTime, student.lastReceivedAt);
  student.lastReceivedAt = Math.max(student.lastReceivedAt, event.received);
  if (!late) arrive(student, event);
  switch (event.kind) {
    case "cell_executed":
      run(student, event, late);
      return false;
    case "help":
      return help(student, event);
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

/** What is "last". */
function arrive(student, event) {
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

function run(student, event, late) {
  student.cellsExecuted += 1;
  if (event.failed) student.errorCount += 1;
  if (late) return;
  // Before any run, the last one was of no cell.
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

function help(student, event) {
  const lowered = student.handLoweredAt;
  if (lowered !== null && lowered - OVERTAKEN_WINDOW < event.moment && event.moment < lowered) return false;
  const lapsed = student.lastHelpAt === null || event.received - student.lastHelpAt >= HELP_LAPSE;
  const raised = lapsed || (student.helpSince === null && !student.handClosed);
  if (raised) {
    student.helpSince = event.received;
    student.handClosed = false;
  }
  student.lastHelpAt = Math.max(student.lastHelpAt ?? -Infinity, event.received);
  return raised;
}

/** What the student is doing at `now`, by the database's clock, and until when if nothing comes (`Infinity`: for good). */
export function statusAt(student, now) {
  const holds = (from, span) => from !== null && now < from + span;
  if (student.helpSince !== null && holds(student.lastHelpAt, HELP_LAPSE)) {
    return ["help", student.lastHelpAt + HELP_LAPSE];
  }
  if (student.consecutiveErrors >= STUCK_FAILURES) return ["stuck", Infinity];
  if (student.consecutiveErrors > 0 && holds(student.lastRun.receivedAt, ERROR_SPAN)) {
    return ["error", student.lastRun.receivedAt + ERROR_SPAN];
  }
  if (holds(student.lastReceivedAt, ACTIVE_SPAN)) return ["active", student.lastReceivedAt + ACTIVE_SPAN];
  return ["idle", Infinity];
}
