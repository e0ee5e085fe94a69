// The page's state of a class: the state, to which each event is folded; each student's status,
// which time alone can change; and the changes since the last drawing.

import { bound, newChanges, noteRaised } from "./changes.js";
import { cellName } from "./cell.js";
import { ClassState } from "./fold.js";
import { studentName } from "./names.js";
import { emptyCounts, statusAt, worstStreak } from "./student.js";
import { restoreState } from "./summary.js";

/**
 * @import { Note } from "./changes.js"
 * @import { Cell } from "./cell.js"
 * @import { Clock } from "./clock.js"
 * @import { Absent, Folded } from "./fold.js"
 * @import { DeliveredEvent, NormalizedEvent } from "./normalize.js"
 * @import { Streak } from "./streaks.js"
 * @import { Status, Student } from "./student.js"
 * @import { Summary } from "./summary.js"
 */

/**
 * What the state does not say of a student's failures in a row.
 *
 * @typedef {object} Failing
 * @property {string} cell the `cellName` of the cell that fails
 * @property {string | null} message the latest one's error
 * @property {number | null} since when the first one was received; `null` if that is not known
 */

/**
 * A student, and what the page alone needs to know about the student.
 *
 * @typedef {object} Row
 * @property {Student} student
 * @property {string} name as it is counted in the store
 * @property {Status} status
 * @property {number} until when time alone changes the status
 * @property {Streak | null} streak the failures in a row that say most about the student
 * @property {Failing | null} failing more about them; `null` if it is not known
 * @property {number} runs the student's share of `Store.totals`
 * @property {number} errors
 * @property {{ cell: Cell, at: number } | null} ran the latest run, and when it was folded by
 *   `performance.now()`
 */

/**
 * Is told each event, and when a new summary replaced the state.
 *
 * @typedef {object} Watcher
 * @property {(delivered: DeliveredEvent, folded: Folded | null) => void} event
 * @property {() => void} reloaded
 */

/** The most notebooks that are told apart: whether there is one alone is asked of them. */
const MAX_NOTEBOOKS = 1_000;

export class Store {
  state = new ClassState();
  /**
   * By student id.
   *
   * @type {Map<string, Row>}
   */
  rows = new Map();
  /**
   * The notebooks in which cells were run. If there is one alone, the page does not name it.
   *
   * @type {Set<string | null>}
   */
  notebooks = new Set();
  /** The number of students of each status. */
  counts = emptyCounts();
  /** Runs and failures of all students. */
  totals = { runs: 0, errors: 0 };
  /** Whether a summary was loaded. */
  loaded = false;
  /**
   * How many students who are here have a name.
   *
   * @type {Map<string, number>}
   */
  #names = new Map();
  /**
   * What `absent` found; `null` after somebody came or was forgotten.
   *
   * @type {Absent[] | null}
   */
  #absent = null;
  #clock;
  /** The time of the latest `tick`. */
  #tickedAt = -Infinity;
  #changes = newChanges();
  #changed;
  /** @type {Set<Watcher>} */
  #watchers = new Set();

  /**
   * @param {Clock} clock
   * @param {() => void} changed is called when there is something to draw
   */
  constructor(clock, changed) {
    this.#clock = clock;
    this.#changed = changed;
  }

  /**
   * Replaces the state by that of a summary.
   *
   * @param {Summary} summary
   * @param {number} asked when the relay was asked for it, by `performance.now()`
   */
  load(summary, asked) {
    this.#clock.set(summary.now, asked);
    const before = this.rows;
    this.#reset();
    this.state = restoreState(summary);
    for (const cell of this.state.cells.values()) this.#addNotebook(cell);
    const now = this.#clock.now();
    for (const student of this.state.students.values()) {
      if (!student.here) continue;
      const row = this.#addRow(student, now);
      // The same number of failures in a row: what was looked up about them still holds.
      const known = before.get(student.studentId);
      if (isSameStreak(known?.streak, row.streak)) row.failing = known?.failing ?? null;
    }
    this.loaded = true;
    for (const watcher of this.#watchers) watcher.reloaded();
    this.#changed();
  }

  /** Forgets the class. */
  clear() {
    this.#reset();
    this.#changed();
  }

  #reset() {
    this.state = new ClassState();
    this.loaded = false;
    this.#resetRows();
  }

  /** Forgets the students who are here: a lesson began, or another class is shown. */
  #resetRows() {
    this.rows = new Map();
    this.#names = new Map();
    this.#absent = null;
    this.notebooks = new Set();
    this.counts = emptyCounts();
    this.totals = { runs: 0, errors: 0 };
    this.#changes = { ...newChanges(), all: true };
  }

  /**
   * Folds events in the order of their ids. Returns whether a new summary is needed: the class's
   * settings have changed, and with them what the lesson's earlier events say.
   *
   * @param {DeliveredEvent[]} events
   */
  fold(events) {
    for (const delivered of events) {
      const folded = this.state.fold(delivered);
      // Where a lesson begins with new settings there is nothing to fold again. But without the
      // roster of before, others are known who are not here, and the summary named only its own.
      if (folded?.event.kind === "settings_changed") return true;
      for (const watcher of this.#watchers) watcher.event(delivered, folded);
      if (folded !== null) this.#apply(folded);
    }
    if (this.rows.size > this.state.students.size) this.#removeEvicted();
    bound(this.#changes);
    this.#changed();
    return false;
  }

  /** @param {Folded} folded */
  #apply({ event, student, cell, raised, began }) {
    this.#clock.atLeast(event.received);
    if (began) this.#resetRows();
    // An instructor's act for somebody who is not here changes nothing that is shown.
    if (student === null || !student.here) return;
    const now = this.#clock.now();
    const row = this.rows.get(student.studentId) ?? this.#addRow(student, now);
    // A student who was evicted and came back is another object.
    row.student = student;
    this.#rename(row, studentName(student));
    if (event.kind === "run") {
      this.#updateStreak(row, event);
      this.#changes.minutes = true;
    }
    this.#count(row);
    this.#updateStatus(row, now);
    if (cell !== null) {
      row.ran = { cell, at: performance.now() };
      this.#changes.cells.add(cell);
      this.#addNotebook(cell);
    }
    if (raised) {
      this.#changes.minutes = true;
      noteRaised(this.#changes, row);
    }
    this.#changes.students.add(row);
  }

  /** @param {Cell} cell that was run */
  #addNotebook({ notebookPath }) {
    if (this.notebooks.size < MAX_NOTEBOOKS) this.notebooks.add(notebookPath);
  }

  /** Updates the statuses that end by time alone. Is called once a second. */
  tick() {
    const now = this.#clock.now();
    // A clock that was ahead was put right: what seemed to have ended may go on.
    const isEarlier = now < this.#tickedAt;
    this.#tickedAt = now;
    for (const row of this.rows.values()) {
      if (isEarlier || row.until <= now) {
        this.#updateStatus(row, now);
        this.#changes.students.add(row);
      }
    }
    this.note("tick");
  }

  /**
   * Notes a change that does not come from the class's events.
   *
   * @param {Note} change
   */
  note(change) {
    this.#changes[change] = true;
    this.#changed();
  }

  /** The changes since the last call. */
  takeChanges() {
    const changes = this.#changes;
    this.#changes = newChanges();
    return changes;
  }

  /**
   * Tells a watcher every event from now on. Returns a function that ends it.
   *
   * @param {Watcher} watcher
   */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /**
   * The students of a status.
   *
   * @param {Status} status
   */
  withStatus(status) {
    return [...this.rows.values()].filter((row) => row.status === status);
  }

  /** Whether any student is known. */
  get isKnown() {
    return this.rows.size > 0 || this.absent().length > 0;
  }

  /** Those who are known and not here, in no particular order. */
  absent() {
    this.#absent ??= this.state.absent();
    return this.#absent;
  }

  /**
   * Takes what was looked up about a student's failures in a row.
   *
   * @param {Row} row
   * @param {Failing} failing
   */
  setFailing(row, failing) {
    row.failing = failing;
    this.#changes.students.add(row);
    this.#changed();
  }

  /**
   * @param {Student} student
   * @param {number} now
   */
  #addRow(student, now) {
    const { settings } = this.state;
    const [status, until] = statusAt(student, now, settings);
    const streak = worstStreak(student, settings);
    /** @type {Row} */
    const row = {
      student,
      name: "",
      status,
      until,
      streak,
      failing: null,
      runs: 0,
      errors: 0,
      ran: null,
    };
    this.rows.set(student.studentId, row);
    this.#rename(row, studentName(student));
    this.#absent = null;
    this.counts[status] += 1;
    this.#changes.statuses = true;
    this.#count(row);
    return row;
  }

  /**
   * @param {Row} row
   * @param {string} name `""` if the row is no more
   */
  #rename(row, name) {
    if (row.name === name) return;
    for (const [changed, step] of /** @type {const} */ ([
      [row.name, -1],
      [name, 1],
    ])) {
      const count = (this.#names.get(changed) ?? 0) + step;
      if (count > 0) this.#names.set(changed, count);
      else this.#names.delete(changed);
      // Those of the same name are told apart by their ids from now on, or no longer.
      if (Math.max(count, count - step) === 2) this.#changes.statuses = true;
    }
    row.name = name;
  }

  /**
   * Whether somebody else who is here has the same name.
   *
   * @param {Pick<Student, "studentId" | "userName">} student
   */
  hasNamesake(student) {
    const own = this.rows.has(student.studentId) ? 1 : 0;
    return (this.#names.get(studentName(student)) ?? 0) > own;
  }

  /** @param {Row} row */
  #count(row) {
    this.totals.runs += row.student.cellsExecuted - row.runs;
    this.totals.errors += row.student.errorCount - row.errors;
    row.runs = row.student.cellsExecuted;
    row.errors = row.student.errorCount;
  }

  /**
   * @param {Row} row
   * @param {number} now
   */
  #updateStatus(row, now) {
    const [status, until] = statusAt(row.student, now, this.state.settings);
    row.until = until;
    if (status === row.status) return;
    this.counts[row.status] -= 1;
    this.counts[status] += 1;
    row.status = status;
    this.#changes.statuses = true;
  }

  /**
   * @param {Row} row
   * @param {NormalizedEvent} event a run
   */
  #updateStreak(row, event) {
    const { lastRun } = row.student;
    const streak = worstStreak(row.student, this.state.settings);
    const cell = streakName(streak);
    row.streak = streak;
    if (streak === null || row.failing?.cell !== cell) row.failing = null;
    const isCounted = lastRun?.at === event.time && lastRun.receivedAt === event.received;
    const isOfStreak = streak?.cellId === event.cell && streak.notebookPath === event.notebook;
    if (!event.failed || !isCounted || !isOfStreak) return;
    const since = streak.failures === 1 ? event.received : (row.failing?.since ?? null);
    row.failing = { cell, message: event.message, since };
  }

  /** Removes the rows of students that the state has evicted. */
  #removeEvicted() {
    for (const [id, row] of this.rows) {
      if (this.state.students.has(id)) continue;
      this.rows.delete(id);
      this.#rename(row, "");
      this.#absent = null;
      this.counts[row.status] -= 1;
      this.totals.runs -= row.runs;
      this.totals.errors -= row.errors;
      this.#changes.all = true;
    }
  }
}

/**
 * @param {Streak | null} [a]
 * @param {Streak | null} [b]
 */
function isSameStreak(a, b) {
  return a?.failures === b?.failures && streakName(a) === streakName(b);
}

/**
 * The `cellName` of the cell of a student's failures in a row.
 *
 * @param {Streak | null} [streak]
 */
export function streakName(streak) {
  return cellName(streak?.notebookPath ?? null, streak?.cellId ?? "");
}
