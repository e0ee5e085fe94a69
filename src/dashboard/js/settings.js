// The settings of a class, as the fold reads them. The relay checks settings before it stores them,
// but anyone may insert an event with SQL: a member that is not usable counts as absent.

import { integer, text } from "./fields.js";
import { SECOND } from "./time.js";

/** The most students of a roster: as many as a class has. */
const MAX_ROSTER = 10_000;
/** The longest id of a student, in bytes. */
const MAX_STUDENT_ID = 200;

/**
 * @typedef {{ name: string | null, team: string | null }} Enrolled
 */

/**
 * @typedef {object} Settings
 * @property {{ [member: string]: unknown }} written the settings as somebody wrote them
 * @property {"id" | "position"} cellsBy by what a cell is known
 * @property {"path" | "name"} notebooksBy by what a notebook is known
 * @property {number} stuckAfter so many failures in a row on a cell make a student stuck
 * @property {number} idleAfter how long an event keeps a student active, in microseconds
 * @property {Map<string, Enrolled>} roster by student id, in the roster's order
 */

/**
 * Settings from what somebody wrote.
 *
 * @param {unknown} value
 * @returns {Settings}
 */
export function readSettings(value) {
  const written = isObject(value) ? value : {};
  return {
    written,
    cellsBy: written.cellsBy === "position" ? "position" : "id",
    notebooksBy: written.notebooksBy === "name" ? "name" : "path",
    stuckAfter: within(written.stuckAfter, 1, 100) ?? 3,
    idleAfter: (within(written.idleAfter, 10, 86_400) ?? 120) * SECOND,
    roster: readRoster(written.roster),
  };
}

/** @param {unknown} value */
function readRoster(value) {
  /** @type {Settings["roster"]} */
  const roster = new Map();
  for (const entry of Array.isArray(value) ? value.slice(0, MAX_ROSTER) : []) {
    if (!isObject(entry)) continue;
    const id = text(entry.id, MAX_STUDENT_ID);
    // Of equal ids the first counts.
    if (id === null || roster.has(id)) continue;
    roster.set(id, { name: text(entry.name), team: text(entry.team) });
  }
  return roster;
}

/**
 * @param {unknown} value
 * @param {number} least
 * @param {number} most
 */
function within(value, least, most) {
  const number = integer(value);
  return number !== null && number >= least && number <= most ? number : null;
}

/**
 * @param {unknown} value
 * @returns {value is { [member: string]: unknown }}
 */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
