// What the fold sees of an event: a few fields, each either usable or absent. The relay's own fold (src/state/observed.rs)
// looks at an event in the same way.

import { parseClientTime, parseTime } from "./time.js";

/** Longest name, path or id, in bytes of UTF-8. */
const MAX_TEXT_BYTES = 1024;
/** How much of an error's first line stands for it, in characters. */
const MAX_MESSAGE_CHARS = 200;

const KINDS = new Set(["cell_executed", "help", "help_stop", "help_resolved"]);
const encoder = new TextEncoder();

/** A delivered event as the fold sees it; absent is `null`. */
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
    // When it happened, as far as can be told: a client's clock that is ahead is not believed.
    moment: Math.min(time, received),
    kind: KINDS.has(eventType) ? eventType : "other",
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

/** What JSON may hold and UTF-8 may not becomes U+FFFD, as in the relay. */
function wellFormed(value) {
  const text = value.toWellFormed ? value.toWellFormed() : value;
  return text.includes("\0") ? text.replaceAll("\0", "\ufffd") : text;
}

function text(value) {
  if (typeof value !== "string" || value === "") return null;
  const text = wellFormed(value);
  // No UTF-16 unit takes more than three bytes.
  if (text.length * 3 > MAX_TEXT_BYTES && encoder.encode(text).length > MAX_TEXT_BYTES) return null;
  return text;
}

function integer(value) {
  // Minus zero is zero.
  return Number.isSafeInteger(value) ? value + 0 : null;
}

/** The first line that is not empty, its first characters: what an error is counted by. */
function firstLine(value) {
  if (typeof value !== "string") return null;
  const line = /[^\r\n]+/.exec(value)?.[0];
  if (line === undefined) return null;
  // Twice as many units hold as many characters.
  const head = wellFormed(line.slice(0, MAX_MESSAGE_CHARS * 2));
  return head.length > MAX_MESSAGE_CHARS ? [...head].slice(0, MAX_MESSAGE_CHARS).join("") : head;
}

/** The order of texts in the relay: by code point, which is that of UTF-8's bytes. */
export function compareTexts(a, b) {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
    // Surrogates stand for what comes after all that is written with one unit.
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

function rank(unit) {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
