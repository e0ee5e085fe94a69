// The changes since the last drawing.

/**
 * @import { Cell } from "./cell.js"
 * @import { Row } from "./store.js"
 */

/**
 * @typedef {object} Changes
 * @property {boolean} all everything may have changed
 * @property {Set<Row>} students students that changed
 * @property {Set<Cell>} cells cells that were run
 * @property {Row[]} raised students whose hand went up
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
  changes.raised.push(...later.raised);
  changes.all ||= later.all;
  changes.minutes ||= later.minutes;
  changes.statuses ||= later.statuses;
  changes.tick ||= later.tick;
  changes.connection ||= later.connection;
  changes.filter ||= later.filter;
  changes.rejections ||= later.rejections;
  changes.me ||= later.me;
  changes.presence ||= later.presence;
}
