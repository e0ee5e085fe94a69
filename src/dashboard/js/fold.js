// A class's state: a pure fold over its events in id order. The twin of src/state/class.rs; both are held to
// tests/vectors/state.json. Nothing here knows the page, the network or the time of day.

import { LruMap } from "./lru-map.js";
import { compareTexts, normalize } from "./normalize.js";
import { foldStudent, isRepeat, newStudent, resolve } from "./student.js";
import { MINUTE } from "./time.js";

const MAX_STUDENTS = 10_000;
const MAX_CELLS = 5_000;
const MAX_RUNS = 100_000;
/** Messages kept of a cell; the rarest gives way, of equally rare ones the one that was not seen for longest. */
const MAX_MESSAGES = 20;
/** Minutes of activity kept: a day. */
const MAX_MINUTES = 24 * 60;

/** Between the parts of a name made of several; no text of an event contains it. */
const SEPARATOR = "\0";

/** A cell's name among a class's cells. */
export function cellName(notebook, cell) {
  return `${notebook ?? ""}${SEPARATOR}${cell}`;
}

/** A class as its events have made it. */
export class ClassState {
  /** By student id: the state, and `cells`, the student's runs by the cell's name. */
  students = new LruMap(MAX_STUDENTS);
  /** By `cellName`. */
  cells = new LruMap(MAX_CELLS);
  /** Every pair of student and cell, for their number and order alone. */
  #runs = new LruMap(MAX_RUNS);
  /** By the minute's start. */
  minutes = new Map();
  #newestMinute = -Infinity;
  #lastEvent = 0;

  /** Folds the class's next event; returns it as it was seen, with what it changed: `null` if nothing. */
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
    if (event.kind === "cell_executed" && known !== undefined && isRepeat(known, event)) return null;
    const student = this.students.touch(
      event.student,
      () => ({ ...newStudent(event.student, event.received), cells: new Map() }),
      (_, gone) => this.#forgetStudent(gone),
    );
    const raised = foldStudent(student, event);
    let cell = null;
    if (event.kind === "cell_executed") {
      this.#count(event.received, event.failed ? { runs: 1, errors: 1 } : { runs: 1 });
      if (event.cell !== null) cell = this.#run(student, event);
    } else if (raised) {
      this.#count(event.received, { help: 1 });
    }
    return { event, student, cell, raised };
  }

  #run(student, event) {
    const name = cellName(event.notebook, event.cell);
    const cell = this.cells.touch(name, () => newCell(event.notebook, event.cell), (_, gone) => this.#forgetCell(gone));
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
    this.#runs.touch(pairName(student, name), () => [student, cell], (_, pair) => this.#forgetRuns(...pair));
    if (event.failed && runs.failedRuns === 0) cell.failingStudents += 1;
    runs.runs += 1;
    if (event.failed) runs.failedRuns += 1;
    // A late run does not recolour a cell.
    if (event.moment >= runs.at) {
      runs.failed = event.failed;
      runs.at = event.moment;
    }
    return cell;
  }

  #count(received, what) {
    const start = Math.floor(received / MINUTE) * MINUTE;
    const oldest = Math.max(this.#newestMinute, start) - (MAX_MINUTES - 1) * MINUTE;
    if (start < oldest) return;
    if (start > this.#newestMinute) {
      this.#newestMinute = start;
      for (const minute of this.minutes.keys()) if (minute < oldest) this.minutes.delete(minute);
    }
    const minute = this.minutes.get(start) ?? { start, runs: 0, errors: 0, help: 0 };
    for (const [name, count] of Object.entries(what)) minute[name] += count;
    this.minutes.set(start, minute);
  }

  #forgetStudent(student) {
    for (const name of student.cells.keys()) {
      this.#runs.delete(pairName(student, name));
      const cell = this.cells.get(name);
      if (cell !== undefined) discount(student, cell, name);
    }
  }

  #forgetCell(cell) {
    const name = cellName(cell.notebookPath, cell.cellId);
    for (const student of cell.students) {
      this.#runs.delete(pairName(student, name));
      student.cells.delete(name);
    }
  }

  #forgetRuns(student, cell) {
    const name = cellName(cell.notebookPath, cell.cellId);
    discount(student, cell, name);
    student.cells.delete(name);
  }

  /** Puts back what a summary holds: see summary.js. In the order in which they were touched, as far as that is known. */
  restore(students, cells, pairs, minutes) {
    const nothing = () => {};
    for (const student of students) this.students.touch(student.studentId, () => student, nothing);
    for (const cell of cells) this.cells.touch(cellName(cell.notebookPath, cell.cellId), () => cell, nothing);
    for (const [student, cell] of pairs) {
      const name = cellName(cell.notebookPath, cell.cellId);
      this.#runs.touch(pairName(student, name), () => [student, cell], nothing);
    }
    for (const minute of minutes) {
      this.minutes.set(minute.start, minute);
      this.#newestMinute = Math.max(this.#newestMinute, minute.start);
    }
  }

  /** The cells by notebook, place in it (those without one last) and id. */
  orderedCells() {
    const place = (cell) => cell.cellIndex ?? Infinity;
    const byPlace = (a, b) => (place(a) === place(b) ? 0 : place(a) - place(b));
    return [...this.cells.values()].sort(
      (a, b) =>
        compareTexts(a.notebookPath ?? "", b.notebookPath ?? "") || byPlace(a, b) || compareTexts(a.cellId, b.cellId),
    );
  }
}

/** A cell that nobody has run yet. */
export function newCell(notebookPath, cellId) {
  return {
    notebookPath,
    cellId,
    cellIndex: null,
    runs: 0,
    failedRuns: 0,
    failingStudents: 0,
    /** `[message, count]`, the most frequent first. */
    messages: [],
    /** Those whose runs are kept. */
    students: new Set(),
  };
}

function pairName(student, cell) {
  return `${student.studentId}${SEPARATOR}${cell}`;
}

function discount(student, cell, name) {
  cell.students.delete(student);
  if (student.cells.get(name)?.failedRuns > 0) cell.failingStudents -= 1;
}

function addMessage(messages, message) {
  const known = messages.findIndex(([other]) => other === message);
  let count = 1;
  if (known >= 0) {
    count += messages.splice(known, 1)[0][1];
  } else if (messages.length >= MAX_MESSAGES) {
    messages.length = MAX_MESSAGES - 1;
  }
  const after = messages.findIndex(([, other]) => other <= count);
  messages.splice(after < 0 ? messages.length : after, 0, [message, count]);
}
