// What the page knows: the class's state folded on, each student's status as time passes, and what has changed since the
// page was last drawn.

import { ClassState } from "./fold.js";
import { restoreState } from "./summary.js";
import { STATUSES, statusAt } from "./student.js";

export class Store {
  state = new ClassState();
  /** By student id: the student beside what only this page needs to know. */
  rows = new Map();
  /** The notebooks in which cells were run: one needs not be named. */
  notebooks = new Set();
  /** Students by status. */
  counts = emptyCounts();
  /** Runs and failures of all students. */
  totals = { runs: 0, errors: 0 };
  /** Whether there has been a picture at all. */
  loaded = false;
  #clock;
  #changes = newChanges();
  #changed;
  #watchers = new Set();

  /** `changed()` is called when there is something to draw. */
  constructor(clock, changed) {
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Begins anew from a summary. */
  load(summary, asked) {
    this.#clock.set(summary.now, asked);
    this.state = restoreState(summary);
    this.notebooks = new Set([...this.state.cells.values()].map((cell) => cell.notebookPath));
    const before = this.rows;
    this.rows = new Map();
    this.counts = emptyCounts();
    this.totals = { runs: 0, errors: 0 };
    const now = this.#clock.now();
    for (const student of this.state.students.values()) {
      const row = this.#row(student);
      // What was looked up is still so if the streak is the same.
      const known = before.get(student.studentId);
      if (known?.student.consecutiveErrors === student.consecutiveErrors) row.streak = known.streak;
      this.#judge(row, now);
    }
    this.loaded = true;
    this.#changes.all = true;
    for (const watcher of this.#watchers) watcher.reloaded?.();
    this.#changed();
  }

  /** Forgets the class. */
  clear() {
    this.state = new ClassState();
    this.notebooks = new Set();
    this.rows = new Map();
    this.counts = emptyCounts();
    this.totals = { runs: 0, errors: 0 };
    this.loaded = false;
    this.#changes = { ...newChanges(), all: true };
    this.#changed();
  }

  /** Folds events as they come. */
  fold(events) {
    for (const delivered of events) {
      const folded = this.state.fold(delivered);
      for (const watcher of this.#watchers) watcher.event(delivered, folded);
      if (folded === null) continue;
      const { event, student, cell } = folded;
      this.#clock.atLeast(event.received);
      const row = this.rows.get(student.studentId) ?? this.#row(student);
      // A student who was forgotten and came back is another object.
      row.student = student;
      if (event.kind === "cell_executed") {
        this.#watchStreak(row, event);
        this.#changes.minutes = true;
      }
      this.#count(row);
      this.#judge(row, this.#clock.now());
      if (cell !== null) {
        row.ran = { cell, at: performance.now() };
        this.#changes.cells.add(cell);
        this.notebooks.add(cell.notebookPath);
      }
      if (folded.raised) {
        this.#changes.minutes = true;
        this.#changes.raised.push(row);
      }
      this.#changes.students.add(row);
    }
    if (this.rows.size > this.state.students.size) this.#sweep();
    this.#changed();
  }

  /** Status that time alone changes. */
  tick() {
    const now = this.#clock.now();
    for (const row of this.rows.values()) {
      if (row.until <= now) {
        this.#judge(row, now);
        this.#changes.students.add(row);
      }
    }
    this.#changes.tick = true;
    this.#changed();
  }

  /** What has changed since it was last asked. */
  takeChanges() {
    const changes = this.#changes;
    this.#changes = newChanges();
    return changes;
  }

  /** `watcher.event(delivered, folded)` for every event from now on, `watcher.reloaded()` after a new summary. */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Students of a status. */
  withStatus(status) {
    return [...this.rows.values()].filter((row) => row.status === status);
  }

  /** The error that a streak is about was looked up. */
  learn(row, streak) {
    row.streak = streak;
    this.#changes.students.add(row);
    this.#changed();
  }

  #row(student) {
    const row = {
      student,
      status: null,
      until: Infinity,
      /** The failures in a row: `{ message, since }`; `null` while that is not known. */
      streak: null,
      runs: 0,
      errors: 0,
      /** The run that came last: its cell, and when by `performance.now()`. */
      ran: null,
    };
    this.rows.set(student.studentId, row);
    this.#count(row);
    return row;
  }

  #count(row) {
    this.totals.runs += row.student.cellsExecuted - row.runs;
    this.totals.errors += row.student.errorCount - row.errors;
    row.runs = row.student.cellsExecuted;
    row.errors = row.student.errorCount;
  }

  #judge(row, now) {
    const [status, until] = statusAt(row.student, now);
    row.until = until;
    if (status === row.status) return;
    if (row.status !== null) this.counts[row.status] -= 1;
    this.counts[status] += 1;
    row.status = status;
    this.#changes.statuses = true;
  }

  #watchStreak(row, event) {
    const { consecutiveErrors, lastRun } = row.student;
    if (consecutiveErrors === 0) {
      row.streak = null;
    } else if (event.failed && lastRun.at === event.time && lastRun.receivedAt === event.received) {
      const since = consecutiveErrors === 1 ? event.received : (row.streak?.since ?? null);
      row.streak = { message: event.message, since };
    }
  }

  #sweep() {
    for (const [id, row] of this.rows) {
      if (this.state.students.has(id)) continue;
      this.rows.delete(id);
      this.counts[row.status] -= 1;
      this.totals.runs -= row.runs;
      this.totals.errors -= row.errors;
      this.#changes.all = true;
    }
  }
}

function emptyCounts() {
  return Object.fromEntries(STATUSES.map((status) => [status, 0]));
}

function newChanges() {
  return {
    /** Everything may be another. */
    all: false,
    /** Rows. */
    students: new Set(),
    /** Cells of the state. */
    cells: new Set(),
    /** Activity. */
    minutes: false,
    /** Someone's status. */
    statuses: false,
    /** A second passed. */
    tick: false,
    /** Rows whose hand went up. */
    raised: [],
  };
}
