// The few fields of an event that the fold reads, each either usable or absent. The relay's own
// fold normalizes events by the same rules; the shared test vectors compare both.

import { integer, text, wellFormed } from "./fields.js";
import { cellOf, notebookOf } from "./matching.js";
import { parseClientTime, parseReceived } from "./time.js";

/** @import { Settings } from "./settings.js" */

/**
 * An error is shown, and counted, by this many characters of its first line; of a student's words
 * that many are kept.
 */
const MAX_MESSAGE_CHARS = 200;

/**
 * An event as the relay delivers it. All other fields are as the client wrote them, or absent.
 *
 * @typedef {{ id: number, studentId: string, receivedAt: string, [field: string]: unknown }}
 *   DeliveredEvent
 */

/**
 * The rules that an event falls under. `run`: a cell ran. `erased`: something of the class was
 * erased, which is told to those who keep copies.
 *
 * @typedef {"run" | "help" | "help_stop" | "help_resolved" | "help_claimed" | "lesson_started"
 *   | "settings_changed" | "instructor_viewing" | "erased" | "other"} EventKind
 */

/**
 * An event as the fold reads it. Times are in microseconds; an absent field is `null`.
 *
 * @typedef {object} NormalizedEvent
 * @property {number} id
 * @property {string} student
 * @property {number} received
 * @property {number} time the client's time, or else `received`
 * @property {number} moment when it happened, as far as can be told
 * @property {EventKind} kind
 * @property {string | null} eventType
 * @property {string | null} userName
 * @property {string | null} teamName
 * @property {string | null} session
 * @property {string | null} notebook by the name by which the class knows it
 * @property {string | null} cell likewise
 * @property {number | null} cellIndex
 * @property {number | null} executionCount
 * @property {boolean} failed
 * @property {string | null} message the first line of a failed run's error
 * @property {string | null} helpMessage the beginning of what a `help` says
 * @property {boolean} isUntilStop whether a hand stays up until `help_stop`
 * @property {boolean} isUnconfigured whether the client does not know whose it is
 * @property {string | null} by the instructor who acted
 * @property {boolean} isReleased whether a claim is given up
 * @property {string | null} title of a lesson
 */

/**
 * The kinds of the types that have a rule, `cell_executed` aside.
 *
 * @type {Map<string | null, EventKind>}
 */
const KINDS = new Map([
  ["help", "help"],
  ["help_stop", "help_stop"],
  ["help_resolved", "help_resolved"],
  ["help_claimed", "help_claimed"],
  ["lesson_started", "lesson_started"],
  ["settings_changed", "settings_changed"],
  ["instructor_viewing", "instructor_viewing"],
  ["student_erased", "erased"],
  ["class_deleted", "erased"],
]);

/**
 * @param {DeliveredEvent} event
 * @param {Pick<Settings, "cellsBy" | "notebooksBy">} settings of the class
 * @returns {NormalizedEvent}
 */
export function normalize(event, settings) {
  const received = parseReceived(event.receivedAt);
  const time = parseClientTime(event.eventTime) ?? received;
  const cellIndex = integer(event.cellIndex);
  const failed = event.hasError === true;
  const kind = kindOf(event);
  return {
    id: event.id,
    student: event.studentId,
    received,
    time,
    // A client's clock that is ahead of the database's is not believed.
    moment: Math.min(time, received),
    kind,
    eventType: text(event.eventType),
    userName: text(event.userName),
    teamName: text(event.teamName),
    session: text(event.sessionId),
    notebook: notebookOf(text(event.notebookPath), settings),
    cell: cellOf(text(event.cellId), cellIndex, settings),
    cellIndex,
    executionCount: integer(event.executionCount),
    failed,
    message: kind === "run" && failed ? firstLine(event.errorMessage) : null,
    helpMessage: kind === "help" ? beginning(event.message) : null,
    isUntilStop: event.until === "help_stop",
    isUnconfigured: event.unconfigured === true,
    by: text(event.by) ?? text(event.actor),
    isReleased: event.released === true,
    title: text(event.title),
  };
}

/**
 * @param {DeliveredEvent} event
 * @returns {EventKind}
 */
function kindOf(event) {
  if (event.eventType === "cell_executed") return isRun(event) ? "run" : "other";
  return KINDS.get(text(event.eventType)) ?? "other";
}

/**
 * Whether a cell ran. Clients report cells of text, empty ones, and those that a failure above them
 * kept from running.
 *
 * @param {DeliveredEvent} event
 */
function isRun({ cellType, executionCount, hasError }) {
  if (text(cellType) === null) return true;
  return cellType === "code" && (integer(executionCount) !== null || hasError === true);
}

/**
 * The beginning of the first line that is not empty.
 *
 * @param {unknown} value
 */
function firstLine(value) {
  if (typeof value !== "string") return null;
  const line = /[^\r\n]+/.exec(value)?.[0];
  return beginning(line);
}

/** @param {unknown} value */
function beginning(value) {
  if (typeof value !== "string" || value === "") return null;
  // A character takes at most two UTF-16 units.
  const head = wellFormed(value.slice(0, MAX_MESSAGE_CHARS * 2));
  return head.length > MAX_MESSAGE_CHARS ? [...head].slice(0, MAX_MESSAGE_CHARS).join("") : head;
}
