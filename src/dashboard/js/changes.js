// The changes since the last drawing. A page that nobody sees may not be drawn for hours: what is
// noted has bounds.

/**
 * @import { Cell } from "./cell.js"
 * @import { Row } from "./store.js"
 */

/** The most hands that are told one by one. Of more, the latest are. */
const MAX_RAISED = 100;
/** The most students, and cells, that are noted one by one: as many as a state holds. */
const MAX_NOTED = 10_000;

/**
 * @typedef {object} Changes
 * @property {boolean} all everything may have changed
 * @property {Set<Row>} students students that changed
 * @property {Set<Cell>} cells cells that were run
 * @property {Row[]} raised students whose hand went up, the latest last
 * @property {boolean} minutes the activity changed
 * @property {boolean} statuses the status of some student changed
 * @property {boolean} tick a second passed
 * @property {boolean} connection the state of the connection changed
 * @property {boolean} filter the status that the grid is limited to changed
 * @property {boolean} rejections the list of rejected events changed
 * @property {boolean} me somebody else is signed in
 * @property {boolean} presence other instructors look at something else
 */

/** @typedef {"all" | "tick" | "connection" | "filter" | "rejections" | "me"
 *   | "presence"} Note */

/** @returns {Changes} */
export function newChanges() {
  return {
    all: false,
    students: new Set(),
    cells: new Set(),
    raised: [],
    minutes: false,
    statuses: false,
    tick: false,
    connection: false,
    filter: false,
    rejections: false,
    me: false,
    presence: false,
  };
}

/**
 * Adds later changes to those that are not drawn yet.
 *
 * @param {Changes} changes
 * @param {Changes} later
 */
export function addChanges(changes, later) {
  for (const row of later.students) changes.students.add(row);
  for (const cell of later.cells) changes.cells.add(cell);
  noteRaised(changes, ...later.raised);
  changes.all ||= later.all;
  changes.minutes ||= later.minutes;
  changes.statuses ||= later.statuses;
  changes.tick ||= later.tick;
  changes.connection ||= later.connection;
  changes.filter ||= later.filter;
  changes.rejections ||= later.rejections;
  changes.me ||= later.me;
  changes.presence ||= later.presence;
  bound(changes);
}

/**
 * Notes that hands went up.
 *
 * @param {Changes} changes
 * @param {Row[]} rows
 */
export function noteRaised(changes, ...rows) {
  changes.raised = [...changes.raised, ...rows].slice(-MAX_RAISED);
}

/**
 * Of too many changes it is noted that everything may have changed. The state forgets students and
 * cells, and what it has forgotten must not be kept here.
 *
 * @param {Changes} changes
 */
export function bound(changes) {
  if (changes.students.size <= MAX_NOTED && changes.cells.size <= MAX_NOTED) return;
  changes.all = true;
  changes.students.clear();
  changes.cells.clear();
}
