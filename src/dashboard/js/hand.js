// The rules of a student's hand: it goes up, is repeated, lapses, is claimed by an instructor, and
// goes down.

import { MINUTE, SECOND } from "./time.js";

/**
 * @import { NormalizedEvent } from "./normalize.js"
 * @import { Student } from "./student.js"
 */

/** A hand counts as lowered when `help` was not repeated for this long. */
export const HELP_LAPSE = 75 * SECOND;
/** An instructor who said so long ago to be on the way is not any more, as far as can be told. */
const CLAIM_LAPSE = 10 * MINUTE;
/** A `help` that is older than the `help_stop` by less than this was overtaken on its way. */
const OVERTAKEN_WINDOW = 10 * SECOND;

/**
 * Until when a hand is up if nothing more is heard: `Infinity` for one that stays until
 * `help_stop`, `-Infinity` if it is down.
 *
 * @param {Student} student
 */
export function handUntil({ helpSince, lastHelpAt, helpUntilStop }) {
  if (helpSince === null) return -Infinity;
  if (helpUntilStop) return Infinity;
  return lastHelpAt === null ? -Infinity : lastHelpAt + HELP_LAPSE;
}

/**
 * Folds a `help`. Returns whether the hand went up.
 *
 * @param {Student} student
 * @param {NormalizedEvent} event
 */
export function raise(student, event) {
  const lowered = student.handLoweredAt;
  if (lowered !== null && lowered - OVERTAKEN_WINDOW < event.moment && event.moment < lowered) {
    return false;
  }
  const { lastHelpAt, helpUntilStop, handClosed } = student;
  const lapses = !helpUntilStop || handClosed;
  const lapsed = lastHelpAt === null || (lapses && event.received - lastHelpAt >= HELP_LAPSE);
  const raised = lapsed || (student.helpSince === null && !handClosed);
  if (raised) {
    student.helpSince = event.received;
    student.handClosed = false;
    student.helpMessage = null;
    setClaim(student, null, null);
  }
  if (student.helpSince !== null) student.helpMessage = event.helpMessage ?? student.helpMessage;
  student.lastHelpAt = Math.max(lastHelpAt ?? -Infinity, event.received);
  student.helpUntilStop = event.isUntilStop;
  return raised;
}

/**
 * Folds a `help_stop`.
 *
 * @param {Student} student
 * @param {NormalizedEvent} event
 */
export function lower(student, event) {
  student.helpSince = null;
  student.lastHelpAt = null;
  student.helpMessage = null;
  student.helpUntilStop = false;
  student.handClosed = false;
  student.handLoweredAt = Math.max(student.handLoweredAt ?? -Infinity, event.moment);
  setClaim(student, null, null);
}

/**
 * Folds an instructor's `help_resolved`, which changes nothing but the hand.
 *
 * @param {Student} student
 */
export function resolve(student) {
  if (student.helpSince === null) return;
  student.helpSince = null;
  student.helpMessage = null;
  student.handClosed = true;
  setClaim(student, null, null);
}

/**
 * Folds a `help_claimed`: somebody is on the way to the hand, or no longer is.
 *
 * @param {Student} student
 * @param {NormalizedEvent} event
 */
export function claim(student, event) {
  if (event.received >= handUntil(student)) return;
  if (event.isReleased || event.by === null) setClaim(student, null, null);
  else setClaim(student, event.by, event.received);
}

/**
 * Who is on the way to a student's hand, and since when.
 *
 * @param {Student} student
 * @param {number} now
 */
export function claimOf({ helpClaimedBy: by, helpClaimedAt: at }, now) {
  return by === null || at === null || now >= at + CLAIM_LAPSE ? null : { by, at };
}

/**
 * @param {Student} student
 * @param {string | null} by
 * @param {number | null} at
 */
function setClaim(student, by, at) {
  student.helpClaimedBy = by;
  student.helpClaimedAt = at;
}
