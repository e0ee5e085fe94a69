// A class's state: a pure fold over its events in the order of their ids. The relay has the same
// fold in Rust; both pass tests/vectors/state.json. Nothing here knows the page, the network or the
// time of day.

import {
  SEPARATOR,
  addMessage,
  addRun,
  cellName,
  compareCells,
  newCell,
  newRuns,
  removeStudent,
} from "./cell.js";
import { integer } from "./fields.js";
import { claim, resolve } from "./hand.js";
import { LruMap } from "./lru-map.js";
import { normalize } from "./normalize.js";
import { readSettings } from "./settings.js";
import { foldStudent, isRepeat, leave, newStudent } from "./student.js";
import { HOUR, MINUTE } from "./time.js";

/**
 * @import { Cell } from "./cell.js"
 * @import { DeliveredEvent, NormalizedEvent } from "./normalize.js"
 * @import { Settings } from "./settings.js"
 * @import { Student } from "./student.js"
 */

const MAX_STUDENTS = 10_000;
const MAX_CELLS = 5_000;
const MAX_PAIRS = 100_000;
/** The most minutes of activity: a day. */
const MAX_MINUTES = 24 * 60;

/** After this long without an event the next one begins a lesson. */
const LESSON_GAP = 6 * HOUR;
/** A lesson ends after this long. */
const LESSON_SPAN = 7 * 24 * HOUR;

/**
 * @typedef {{ start: number, runs: number, errors: number, help: number }} ActivityMinute
 */

/**
 * @typedef {object} Lesson
 * @property {number} first the id of its first event
 * @property {number} startedAt when that was received
 * @property {string | null} title
 */

/**
 * Somebody who is not here yet.
 *
 * @typedef {object} Absent
 * @property {string} studentId
 * @property {string | null} userName
 * @property {string | null} teamName
 * @property {number | null} lastReceivedAt when something was last received; `null`: never
 */

/**
 * An event that changed the state, and what it changed.
 *
 * @typedef {object} Folded
 * @property {NormalizedEvent} event
 * @property {Student | null} student the student that changed, if it is one alone
 * @property {Cell | null} cell
 * @property {boolean} raised whether a hand went up
 * @property {boolean} began whether a lesson began, so that everything has changed
 * @property {boolean} refold whether the lesson has to be folded again, under new settings; see
 *   `ClassState.beginRefold`
 */

/** The state of a class: that of its current lesson. */
export class ClassState {
  /**
   * By student id: those who are here, and those who are known.
   *
   * @type {LruMap<string, Student>}
   */
  students = new LruMap(MAX_STUDENTS);
  /**
   * By `cellName`.
   *
   * @type {LruMap<string, Cell>}
   */
  cells = new LruMap(MAX_CELLS);
  /**
   * Every pair of a student and a cell that the student ran, to bound their number.
   *
   * @type {LruMap<string, [Student, Cell]>}
   */
  #pairs = new LruMap(MAX_PAIRS);
  /**
   * By the minute's start.
   *
   * @type {Map<number, ActivityMinute>}
   */
  minutes = new Map();
  settings = readSettings(null);
  /** The event that made the settings. */
  settingsEvent = 0;
  /** @type {Lesson | null} */
  lesson = null;
  /** When the newest event of the class was received, what instructors look at aside. */
  lastReceivedAt = -Infinity;
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
    const event = normalize(delivered, this.settings);
    // Who looks at the page is no part of the lesson.
    if (event.kind === "instructor_viewing") return null;
    const began = this.#beginsLesson(event);
    if (began) this.#beginLesson(event);
    this.lastReceivedAt = Math.max(this.lastReceivedAt, event.received);
    const folded = this.#foldKind(event, delivered);
    if (folded === null && !began) return null;
    return { event, student: null, cell: null, raised: false, refold: false, ...folded, began };
  }

  /**
   * Folds an event by the rules of its kind. Returns what it changed.
   *
   * @param {NormalizedEvent} event
   * @param {DeliveredEvent} delivered
   * @returns {Partial<Folded> | null}
   */
  #foldKind(event, delivered) {
    const known = this.students.get(event.student);
    switch (event.kind) {
      case "lesson_started":
      case "erased":
        return null;
      case "settings_changed":
        return this.#changeSettings(delivered);
      case "help_resolved":
      case "help_claimed":
        if (known === undefined) return null;
        if (event.kind === "help_resolved") resolve(known);
        else claim(known, event);
        return { student: known };
      default:
        if (event.kind === "run" && known !== undefined && isRepeat(known, event)) return null;
        return this.#foldStudent(event);
    }
  }

  /** @param {NormalizedEvent} event of a student */
  #foldStudent(event) {
    const student = this.students.touch(
      event.student,
      () => newStudent(event.student, event.received),
      (evicted) => this.#studentEvicted(evicted),
    );
    const raised = foldStudent(student, event, this.settings.roster.get(event.student));
    let cell = null;
    if (event.kind === "run") {
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
    return { student, cell, raised };
  }

  /** @param {NormalizedEvent} event */
  #beginsLesson({ id, kind, received }) {
    const { lesson } = this;
    if (lesson === null) return true;
    // The lesson is folded again.
    if (id === lesson.first) return false;
    return (
      kind === "lesson_started" ||
      received >= this.lastReceivedAt + LESSON_GAP ||
      received >= lesson.startedAt + LESSON_SPAN
    );
  }

  /** @param {NormalizedEvent} event */
  #beginLesson({ id, kind, received, title }) {
    const named = kind === "lesson_started" ? title : null;
    this.lesson = { first: id, startedAt: received, title: named };
    this.#empty();
  }

  /**
   * Whether the lesson is over at `now`: the next event begins another one.
   *
   * @param {number} now
   */
  isOver(now) {
    return this.lesson !== null && now >= this.lastReceivedAt + LESSON_GAP;
  }

  /** Forgets everything of the lesson. The students are known, but not here. */
  #empty() {
    for (const student of this.students.values()) leave(student);
    this.cells.clear();
    this.#pairs.clear();
    this.minutes.clear();
    this.#newestMinute = -Infinity;
  }

  /**
   * @param {DeliveredEvent} delivered
   * @returns {Partial<Folded> | null}
   */
  #changeSettings({ id, settings, replaces }) {
    if (id <= this.settingsEvent) return null;
    // Another instructor has changed them meanwhile.
    if (this.settingsEvent > (integer(replaces) ?? Infinity)) return null;
    this.settingsEvent = id;
    this.settings = readSettings(settings);
    // Of a lesson that begins with the change, nothing was folded yet.
    return { refold: id !== this.lesson?.first };
  }

  /**
   * Begins to fold the lesson again, after an event with `Folded.refold`. The lesson's events from
   * `lesson.first` on have to follow. The relay reads them from its table; a page takes a summary
   * instead.
   */
  beginRefold() {
    this.#empty();
    this.#lastEvent = (this.lesson?.first ?? 1) - 1;
  }

  /**
   * Those who are not here, in no particular order: the others of the roster, or without one the
   * students of earlier lessons.
   *
   * @returns {Absent[]}
   */
  absent() {
    const { roster } = this.settings;
    if (roster.size === 0) return [...this.students.values()].filter(({ here }) => !here);
    const absent = [];
    for (const [studentId, { name, team }] of roster) {
      const known = this.students.get(studentId);
      if (known?.here) continue;
      absent.push({
        studentId,
        userName: name ?? known?.userName ?? null,
        teamName: team ?? known?.teamName ?? null,
        lastReceivedAt: known?.lastReceivedAt ?? null,
      });
    }
    return absent;
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
      runs = newRuns(event.moment);
      student.cells.set(name, runs);
      cell.students.add(student);
    }
    this.#pairs.touch(
      pairName(student, name),
      () => [student, cell],
      (evicted) => pairEvicted(...evicted),
    );
    if (event.failed && runs.failedRuns === 0) cell.failingStudents += 1;
    addRun(runs, event);
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
      if (cell !== undefined) removeStudent(cell, student);
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
   * @param {Restored} restored
   */
  restore({ students, cells, pairs, minutes, ...members }) {
    Object.assign(this, members);
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

  orderedCells() {
    return [...this.cells.values()].sort(compareCells);
  }
}

/**
 * The contents of a summary.
 *
 * @typedef {object} Restored
 * @property {Settings} settings
 * @property {number} settingsEvent
 * @property {Lesson | null} lesson
 * @property {number} lastReceivedAt
 * @property {Student[]} students
 * @property {Cell[]} cells
 * @property {[Student, Cell][]} pairs
 * @property {ActivityMinute[]} minutes
 */

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
  removeStudent(cell, student);
  student.cells.delete(cellName(cell.notebookPath, cell.cellId));
}
