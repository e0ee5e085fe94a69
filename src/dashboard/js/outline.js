// The outline of the class's notebooks, as the settings have it: which cells there are, in which
// order, under which headings, and which of them are exercises.

import { cellName, newCell } from "./cell.js";
import { integer, text } from "./fields.js";
import { cellOf, notebookOf } from "./matching.js";

/**
 * @import { Cell } from "./cell.js"
 * @import { Settings } from "./settings.js"
 * @import { Student } from "./student.js"
 */

/** The most notebooks, and cells of each; more than that the relay does not store. */
const MAX_NOTEBOOKS = 50;
const MAX_CELLS = 2_000;

/**
 * @typedef {object} OutlineCell
 * @property {string} cellId by what the class knows the cell
 * @property {string | null} place by what it knows the cell of a client that sends no ids
 * @property {number | null} cellIndex
 * @property {string[]} headings the ones above it, the outermost first
 * @property {boolean} isExercise
 * @property {string | null} title
 */

/** @typedef {Map<string | null, OutlineCell[]>} Outline by notebook */

/** @type {WeakMap<Settings, Outline>} */
const known = new WeakMap();

/**
 * @param {Settings} settings
 * @returns {Outline}
 */
export function outlineOf(settings) {
  let outline = known.get(settings);
  if (outline === undefined) {
    outline = read(settings);
    known.set(settings, outline);
  }
  return outline;
}

/** @param {Settings} settings */
function read(settings) {
  /** @type {Outline} */
  const outline = new Map();
  for (const written of list(settings.written.outline, MAX_NOTEBOOKS)) {
    const notebook = notebookOf(text(written.notebook), settings);
    if (notebook === null || outline.has(notebook)) continue;
    /** @type {OutlineCell[]} */
    const cells = [];
    const seen = new Set();
    for (const cell of list(written.cells, MAX_CELLS)) {
      const cellIndex = integer(cell.index);
      const cellId = cellOf(text(cell.id), cellIndex, settings);
      if (cellId === null || seen.has(cellId)) continue;
      seen.add(cellId);
      const headings = Array.isArray(cell.headings) ? cell.headings : [];
      cells.push({
        cellId,
        place: cellIndex === null ? null : `#${cellIndex}`,
        cellIndex,
        headings: headings.filter((heading) => typeof heading === "string"),
        isExercise: cell.exercise === true,
        title: text(cell.title),
      });
    }
    if (cells.length > 0) outline.set(notebook, cells);
  }
  return outline;
}

/**
 * The outline of a notebook. A file that was dropped onto the page has no folder: an outline that
 * is named without one is that of a notebook of this name in any folder.
 *
 * @param {Settings} settings
 * @param {string | null} notebook
 */
export function outlineFor(settings, notebook) {
  const outline = outlineOf(settings);
  return outline.get(notebook) ?? outline.get(nameOf(notebook));
}

/** @param {string | null} notebook */
export function nameOf(notebook) {
  return notebook === null ? null : notebook.slice(notebook.lastIndexOf("/") + 1);
}

/**
 * @param {unknown} value
 * @param {number} most
 * @returns {Record<string, unknown>[]}
 */
function list(value, most) {
  if (!Array.isArray(value)) return [];
  return value.slice(0, most).filter((entry) => typeof entry === "object" && entry !== null);
}

/**
 * What the outline says of a cell.
 *
 * @param {Settings} settings
 * @param {{ notebookPath: string | null, cellId: string }} place
 */
export function cellOutline(settings, { notebookPath, cellId }) {
  const cells = outlineFor(settings, notebookPath);
  return cells?.find((cell) => cell.cellId === cellId || cell.place === cellId) ?? null;
}

/**
 * A cell of the outline, as the class has it or as it will.
 *
 * @param {OutlineCell} planned
 * @param {string | null} notebook
 * @param {{ get: (name: string) => Cell | undefined }} cells of the class
 * @returns {Cell}
 */
export function plannedCell({ cellId, place, cellIndex }, notebook, cells) {
  const byPlace = () => (place === null ? undefined : cells.get(cellName(notebook, place)));
  const found = cells.get(cellName(notebook, cellId)) ?? byPlace();
  return found ?? { ...newCell(notebook, cellId), cellIndex };
}

/**
 * Whether a student has succeeded in a cell, however it went later.
 *
 * @param {Student} student
 * @param {string} name the cell's
 */
export function hasSucceeded(student, name) {
  const runs = student.cells.get(name);
  return runs !== undefined && runs.runs > runs.failedRuns;
}

/**
 * How far the students are.
 *
 * @typedef {object} Progress
 * @property {number} exercises
 * @property {Map<Student, number>} done exercises, by student
 * @property {number} median
 */

/**
 * The exercises that each student has done. Where none is called an exercise, every cell is one.
 *
 * @param {Student[]} students
 * @param {{ cell: Cell, name: string, planned: OutlineCell | null }[]} columns
 * @returns {Progress}
 */
export function progressOf(students, columns) {
  const planned = columns.filter((column) => column.planned !== null);
  const marked = planned.filter((column) => column.planned?.isExercise);
  const exercises = marked.length > 0 ? marked : planned;
  /** @type {Progress["done"]} */
  const done = new Map(students.map((student) => [student, 0]));
  for (const { cell, name } of exercises) {
    for (const student of cell.students) {
      const count = done.get(student);
      if (count !== undefined && hasSucceeded(student, name)) done.set(student, count + 1);
    }
  }
  const sorted = [...done.values()].sort((a, b) => a - b);
  return { exercises: exercises.length, done, median: sorted[sorted.length >> 1] ?? 0 };
}

/** Further from the median than this share of the exercises is behind, or ahead. */
const FAR = 0.2;

/**
 * Whether a student is behind (-1), with (0) or ahead of (1) the class.
 *
 * @param {Progress} progress
 * @param {Student} student
 */
export function standing({ exercises, done, median }, student) {
  const difference = (done.get(student) ?? 0) - median;
  return Math.abs(difference) < Math.max(2, exercises * FAR) ? 0 : Math.sign(difference);
}
