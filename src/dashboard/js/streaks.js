// A student's failures in a row, by cell: who goes back to look at a cell that works is still stuck
// on the one that does not.

/**
 * @import { NormalizedEvent } from "./normalize.js"
 */

/** The most cells of a student with failures in a row. */
const MAX_STREAKS = 16;

/**
 * A cell that fails.
 *
 * @typedef {object} Streak
 * @property {string | null} notebookPath
 * @property {string | null} cellId
 * @property {number | null} cellIndex
 * @property {number} failures in a row
 * @property {number} failedAt when the last of them was received
 */

/**
 * Counts a failed run. Its cell is then the last in the list.
 *
 * @param {Streak[]} streaks
 * @param {NormalizedEvent} event
 */
export function addFailure(streaks, event) {
  const known = streaks.findIndex((streak) => isOf(streak, event));
  /** @type {Streak} */
  let streak = {
    notebookPath: event.notebook,
    cellId: event.cell,
    cellIndex: null,
    failures: 0,
    failedAt: event.received,
  };
  if (known >= 0) [streak] = streaks.splice(known, 1);
  else if (streaks.length >= MAX_STREAKS) streaks.shift();
  streak.failures += 1;
  streak.cellIndex = event.cellIndex ?? streak.cellIndex;
  streak.failedAt = event.received;
  streaks.push(streak);
}

/**
 * The streaks that a success leaves: it ends those of its cell and of the cells above it in the
 * notebook, since the student has gone on.
 *
 * @param {Streak[]} streaks
 * @param {NormalizedEvent} event
 */
export function afterSuccess(streaks, event) {
  return streaks.filter((streak) => !isOf(streak, event) && !isAbove(streak, event));
}

/**
 * @param {Streak} streak
 * @param {NormalizedEvent} event
 */
function isOf({ notebookPath, cellId }, event) {
  return cellId === event.cell && notebookPath === event.notebook;
}

/**
 * @param {Streak} streak
 * @param {NormalizedEvent} event
 */
function isAbove({ notebookPath, cellIndex }, event) {
  const [above, below] = [cellIndex, event.cellIndex];
  return notebookPath === event.notebook && above !== null && below !== null && above < below;
}
