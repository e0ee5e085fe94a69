// The few fields of an event that the fold reads, each either usable or absent. The relay's own
// fold normalizes events by the same rules; the shared test vectors compare both.

import { parseClientTime, parseTime } from "./time.js";

/** The longest name, path or id, in bytes of UTF-8. */
const MAX_TEXT_BYTES = 1024;
/** An error is counted by this many characters of its first line. */
const MAX_MESSAGE_CHARS = 200;

/**
 * An event as the relay delivers it. All other fields are as the client wrote them, or absent.
 *
 * @typedef {{ id: number, studentId: string, receivedAt: string, [field: string]: unknown }}
 *   DeliveredEvent
 */

/**
 * @typedef {"cell_executed" | "help" | "help_stop" | "help_resolved" | "other"} EventKind
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
 * @property {string | null} notebook
 * @property {string | null} cell
 * @property {number | null} cellIndex
 * @property {number | null} executionCount
 * @property {boolean} failed
 * @property {string | null} message the first line of a failed run's error
 */

const KINDS = new Set(["cell_executed", "help", "help_stop", "help_resolved"]);
const encoder = new TextEncoder();

/**
 * @param {DeliveredEvent} event
 * @returns {NormalizedEvent}
 */
export function normalize(event) {
  const received = parseTime(event.receivedAt) ?? 0;
  const time = parseClientTime(event.eventTime) ?? received;
  const eventType = text(event.eventType);
  const failed = event.hasError === true;
  return {
    id: event.id,
    student: event.studentId,
    received,
    time,
    // A client's clock that is ahead of the database's is not believed.
    moment: Math.min(time, received),
    kind: kindOf(eventType),
    eventType,
    userName: text(event.userName),
    teamName: text(event.teamName),
    session: text(event.sessionId),
    notebook: text(event.notebookPath),
    cell: text(event.cellId),
    cellIndex: integer(event.cellIndex),
    executionCount: integer(event.executionCount),
    failed,
    message: eventType === "cell_executed" && failed ? firstLine(event.errorMessage) : null,
  };
}

/**
 * @param {string | null} eventType
 * @returns {EventKind}
 */
function kindOf(eventType) {
  if (eventType === null || !KINDS.has(eventType)) return "other";
  return /** @type {EventKind} */ (eventType);
}

/**
 * Replaces what UTF-8 or PostgreSQL cannot hold by U+FFFD, as the relay does: a surrogate without
 * its other half, and NUL.
 *
 * @param {string} value
 */
function wellFormed(value) {
  const text = value.replace(/\p{Surrogate}/gu, "\ufffd");
  return text.includes("\0") ? text.replaceAll("\0", "\ufffd") : text;
}

/** @param {unknown} value */
function text(value) {
  if (typeof value !== "string" || value === "") return null;
  const text = wellFormed(value);
  // A UTF-16 unit takes at most three bytes: only a long text has to be encoded to be measured.
  if (text.length * 3 > MAX_TEXT_BYTES && encoder.encode(text).length > MAX_TEXT_BYTES) return null;
  return text;
}

/** @param {unknown} value */
function integer(value) {
  // Adding zero turns minus zero into zero.
  return Number.isSafeInteger(value) ? Number(value) + 0 : null;
}

/**
 * The beginning of the first line that is not empty; an error is counted by it.
 *
 * @param {unknown} value
 */
function firstLine(value) {
  if (typeof value !== "string") return null;
  const line = /[^\r\n]+/.exec(value)?.[0];
  if (line === undefined) return null;
  // A character takes at most two UTF-16 units.
  const head = wellFormed(line.slice(0, MAX_MESSAGE_CHARS * 2));
  return head.length > MAX_MESSAGE_CHARS ? [...head].slice(0, MAX_MESSAGE_CHARS).join("") : head;
}

/**
 * Compares texts by code point. The relay compares the bytes of UTF-8, which gives the same order.
 *
 * @param {string} a
 * @param {string} b
 */
export function compareTexts(a, b) {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/**
 * Surrogates stand for the code points above all those that take one unit.
 *
 * @param {number} unit
 */
function rank(unit) {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
