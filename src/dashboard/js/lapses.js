// When a student's hands lapsed. No event says so, but whoever looks for a hand that is gone from
// the queue wants to know.

import { HELP_LAPSE } from "./hand.js";

/** @import { NormalizedEvent } from "./normalize.js" */

/**
 * The last `help` of each hand that lapsed.
 *
 * @param {NormalizedEvent[]} events of a student, in the order of their ids
 * @param {number} now by the database's clock
 */
export function lapses(events, now) {
  /** @type {NormalizedEvent[]} */
  const found = [];
  /**
   * The last `help`, while the hand is up or was closed by an instructor.
   *
   * @type {NormalizedEvent | null}
   */
  let last = null;
  let isClosed = false;
  /** @param {number} moment */
  const lapsesBefore = (moment) => {
    if (last === null || last.isUntilStop || moment < last.received + HELP_LAPSE) return;
    if (!isClosed) found.push(last);
    last = null;
    isClosed = false;
  };
  for (const event of events) {
    lapsesBefore(event.received);
    if (event.kind === "help") last = event;
    else if (event.kind === "help_resolved") isClosed = last !== null;
    else if (event.kind === "help_stop") [last, isClosed] = [null, false];
  }
  lapsesBefore(now);
  return found;
}
