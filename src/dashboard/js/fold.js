// A class's state: a pure fold over its events in the order of their ids. The relay has the same
// fold in Rust; both pass tests/vectors/state.json. Nothing here knows the page, the network or the
// time of day.

import { LruMap } from "./lru-map.js";
import { compareTexts, normalize } from "./normalize.js";
import { foldStudent, isRepeat, newStudent, resolve } from "./student.js";
import { MINUTE } from "./time.js";

/**
 * @import { DeliveredEvent, NormalizedEvent } from "./normalize.js"
 * @import { Student } from "./student.js"
 */

const MAX_STUDENTS = 10_000;
const MAX_CELLS = 5_000;
const MAX_PAIRS = 100_000;
/**
 * The most messages of a cell. A new one replaces the rarest; among equally rare ones, the one that
 * was seen longest ago.
 */
const MAX_MESSAGES = 20;
/** The most minutes of activity: a day. */
const MAX_MINUTES = 24 * 60;

/** Stands between the parts of a key. No text of an event contains it. */
const SEPARATOR = "\0";

/**
 * A cell's key in the maps of a class and of a student.
 *
 * @param {string | null} notebookPath
 * @param {string} cellId
 */
export function cellName(notebookPath, cellId) {
  return `${notebookPath ?? ""}${SEPARATOR}${cellId}`;
}

/**
 * @typedef {object} Cell
 * @property {string | null} notebookPath
 * @property {string} cellId
 * @property {number | null} cellIndex
 * @property {number} runs
 * @property {number} failedRuns
 * @property {number} failingStudents
 * @property {[message: string, count: number][]} messages the most frequent first
 * @property {Set<Student>} students those whose runs of the cell are in `Student.cells`
 */

/**
 * @typedef {{ start: number, runs: number, errors: number, help: number }} ActivityMinute
 */

/**
 * An event that changed the state, and what it changed.
 *
 * @typedef {object} Folded
 * @property {NormalizedEvent} event
 * @property {Student} student
 * @property {Cell | null} cell
 * @property {boolean} raised whether a hand went up
 */

/** The state of a class. */
export class ClassState {
  /** By student id. */
  students = /** @type {LruMap<string, Student>} */ (new LruMap(MAX_STUDENTS));
  /** By `cellName`. */
  cells = /** @type {LruMap<string, Cell>} */ (new LruMap(MAX_CELLS));
  /** Every pair of a student and a cell that the student ran, to bound their number. */
  #pairs = /** @type {LruMap<string, [Student, Cell]>} */ (new LruMap(MAX_PAIRS));
  /**
   * By the minute's start.
   *
   * @type {Map<number, ActivityMinute>}
   */
  minutes = new Map();
  #newestMinute = -Infinity;
  #lastEvent = 0;

  /**
   * Folds the class's next event. Returns `null` if the event changed nothing.
   *
   * @param {DeliveredEvent} delivered
   * @returns {Folded | null}
   */
  fold(delivered) {
    if (delivered.id <= this.#lastEvent) return null;
    this.#lastEvent = delivered.id;
    const event = normalize(delivered);
    const known = this.students.get(event.student);
    if (event.kind === "help_resolved") {
      if (known === undefined) return null;
      resolve(known);
      return { event, student: known, cell: null, raised: false };
    }
    if (event.kind === "cell_executed" && known !== undefined && isRepeat(known, event)) {
      return null;
    }
    const student = this.students.touch(
      event.student,
      () => newStudent(event.student, event.received),
      (evicted) => this.#studentEvicted(evicted),
    );
    const raised = foldStudent(student, event);
    let cell = null;
    if (event.kind === "cell_executed") {
      const minute = this.#minute(event.received);
      if (minute !== null) {
        minute.runs += 1;
        if (event.failed) minute.errors += 1;
      }
      if (event.cell !== null) cell = this.#foldRun(student, event, event.cell);
    } else if (raised) {
      const minute = this.#minute(event.received);
      if (minute !== null) minute.help += 1;
    }
    return { event, student, cell, raised };
  }

  /**
   * @param {Student} student
   * @param {NormalizedEvent} event
   * @param {string} cellId
   */
  #foldRun(student, event, cellId) {
    const name = cellName(event.notebook, cellId);
    const cell = this.cells.touch(
      name,
      () => newCell(event.notebook, cellId),
      (evicted) => this.#cellEvicted(evicted),
    );
    cell.cellIndex = event.cellIndex ?? cell.cellIndex;
    cell.runs += 1;
    if (event.failed) cell.failedRuns += 1;
    if (event.message !== null) addMessage(cell.messages, event.message);
    let runs = student.cells.get(name);
    if (runs === undefined) {
      runs = { runs: 0, failedRuns: 0, failed: false, at: event.moment };
      student.cells.set(name, runs);
      cell.students.add(student);
    }
    this.#pairs.touch(
      pairName(student, name),
      () => [student, cell],
      (evicted) => pairEvicted(...evicted),
    );
    if (event.failed && runs.failedRuns === 0) cell.failingStudents += 1;
    runs.runs += 1;
    if (event.failed) runs.failedRuns += 1;
    // A run that arrives late does not change whether the latest one failed.
    if (event.moment >= runs.at) {
      runs.failed = event.failed;
      runs.at = event.moment;
    }
    return cell;
  }

  /**
   * The minute of a moment; `null` if it is older than a day.
   *
   * @param {number} received
   * @returns {ActivityMinute | null}
   */
  #minute(received) {
    const start = Math.floor(received / MINUTE) * MINUTE;
    const oldest = Math.max(this.#newestMinute, start) - (MAX_MINUTES - 1) * MINUTE;
    if (start < oldest) return null;
    if (start > this.#newestMinute) {
      this.#newestMinute = start;
      for (const minute of this.minutes.keys()) if (minute < oldest) this.minutes.delete(minute);
    }
    let minute = this.minutes.get(start);
    if (minute === undefined) {
      minute = { start, runs: 0, errors: 0, help: 0 };
      this.minutes.set(start, minute);
    }
    return minute;
  }

  /** @param {Student} student */
  #studentEvicted(student) {
    for (const name of student.cells.keys()) {
      this.#pairs.delete(pairName(student, name));
      const cell = this.cells.get(name);
      if (cell !== undefined) removeStudent(cell, student, name);
    }
  }

  /** @param {Cell} cell */
  #cellEvicted(cell) {
    const name = cellName(cell.notebookPath, cell.cellId);
    for (const student of cell.students) {
      this.#pairs.delete(pairName(student, name));
      student.cells.delete(name);
    }
  }

  /**
   * Fills an empty state with the contents of a summary, each list in the order in which its
   * entries were touched as far as that is known. See summary.js.
   *
   * @param {Student[]} students
   * @param {Cell[]} cells
   * @param {[Student, Cell][]} pairs
   * @param {ActivityMinute[]} minutes
   */
  restore(students, cells, pairs, minutes) {
    const ignored = () => {};
    for (const student of students) this.students.touch(student.studentId, () => student, ignored);
    for (const cell of cells) {
      this.cells.touch(cellName(cell.notebookPath, cell.cellId), () => cell, ignored);
    }
    for (const [student, cell] of pairs) {
      const name = cellName(cell.notebookPath, cell.cellId);
      this.#pairs.touch(pairName(student, name), () => [student, cell], ignored);
    }
    for (const minute of minutes) {
      this.minutes.set(minute.start, minute);
      this.#newestMinute = Math.max(this.#newestMinute, minute.start);
    }
  }

  /** The cells by notebook, by their place in it (those without one last) and by id. */
  orderedCells() {
    return [...this.cells.values()].sort(
      (a, b) =>
        compareTexts(a.notebookPath ?? "", b.notebookPath ?? "") ||
        compareIndexes(a.cellIndex, b.cellIndex) ||
        compareTexts(a.cellId, b.cellId),
    );
  }
}

/**
 * @param {number | null} a
 * @param {number | null} b
 */
function compareIndexes(a, b) {
  // Two infinities have no difference.
  return a === b ? 0 : (a ?? Infinity) - (b ?? Infinity);
}

/**
 * A cell that no student has run.
 *
 * @param {string | null} notebookPath
 * @param {string} cellId
 * @returns {Cell}
 */
export function newCell(notebookPath, cellId) {
  return {
    notebookPath,
    cellId,
    cellIndex: null,
    runs: 0,
    failedRuns: 0,
    failingStudents: 0,
    messages: [],
    students: new Set(),
  };
}

/**
 * @param {Student} student
 * @param {string} cell the cell's `cellName`
 */
function pairName(student, cell) {
  return `${student.studentId}${SEPARATOR}${cell}`;
}

/**
 * @param {Student} student
 * @param {Cell} cell
 */
function pairEvicted(student, cell) {
  const name = cellName(cell.notebookPath, cell.cellId);
  removeStudent(cell, student, name);
  student.cells.delete(name);
}

/**
 * @param {Cell} cell
 * @param {Student} student
 * @param {string} name the cell's `cellName`
 */
function removeStudent(cell, student, name) {
  cell.students.delete(student);
  const runs = student.cells.get(name);
  if (runs !== undefined && runs.failedRuns > 0) cell.failingStudents -= 1;
}

/**
 * Counts a message, and moves it before those that are not more frequent.
 *
 * @param {Cell["messages"]} messages
 * @param {string} message
 */
function addMessage(messages, message) {
  const known = messages.findIndex(([other]) => other === message);
  let count = 1;
  if (known >= 0) {
    count += messages[known][1];
    messages.splice(known, 1);
  } else if (messages.length >= MAX_MESSAGES) {
    messages.length = MAX_MESSAGES - 1;
  }
  const after = messages.findIndex(([, other]) => other <= count);
  messages.splice(after < 0 ? messages.length : after, 0, [message, count]);
}
