// The outline of a notebook's file: its code cells in order, under their headings, and which of
// them are exercises.

import { text, wellFormed } from "./fields.js";

/** The largest file, in bytes: outputs count too. */
export const MAX_FILE = 20 * 1024 * 1024;
/** The most notebooks of a class, and code cells of a notebook, that the relay takes. */
export const MAX_NOTEBOOKS = 50;
const MAX_CELLS = 2_000;
/** The deepest heading. */
const MAX_LEVEL = 6;
/** The longest title or heading, in characters: it stands in one line. */
const MAX_LINE = 120;

/**
 * @typedef {object} OutlineCell
 * @property {string} [id]
 * @property {number} [index] counted from 0 over all cells, as clients do
 * @property {string} [title] the first line of its code
 * @property {string[]} [headings] those above it, the outermost first
 * @property {boolean} [exercise]
 *
 * @typedef {{ notebook: string, cells: OutlineCell[] }} OutlineNotebook
 * @typedef {"size" | "encoding" | "unreadable" | "json" | "notebook" | "empty" | "tooMany"
 *   | "twice"} NotebookFault
 * @typedef {{ [member: string]: unknown }} Json
 */

/**
 * @param {Uint8Array} bytes of the file
 * @param {string} name the notebook's path, as far as it is known
 * @returns {{ notebook: OutlineNotebook } | { fault: NotebookFault }}
 */
export function readNotebookFile(bytes, name) {
  if (bytes.length > MAX_FILE) return { fault: "size" };
  let written;
  try {
    written = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    return { fault: error instanceof TypeError ? "encoding" : "json" };
  }
  return readNotebook(written, name);
}

/**
 * @param {unknown} written
 * @param {string} name
 * @returns {{ notebook: OutlineNotebook } | { fault: NotebookFault }}
 */
export function readNotebook(written, name) {
  const cells = cellsOf(written);
  if (cells === null) return { fault: "notebook" };
  const hasIds = hasCellIds(written);
  /** @type {OutlineCell[]} */
  const outline = [];
  /** @type {(string | undefined)[]} */
  const headings = [];
  const ids = new Set();
  cells.forEach((cell, index) => {
    const source = sourceOf(cell);
    if (cell.cell_type === "markdown") readHeadings(source, headings);
    // Before version 4 a heading was a cell of its own.
    if (cell.cell_type === "heading") putHeading(source, Number(cell.level) || 1, headings);
    if (cell.cell_type !== "code") return;
    const id = hasIds ? text(cell.id) : null;
    const above = headings.filter((heading) => heading !== undefined);
    outline.push({
      ...(id !== null && !ids.has(id) && { id }),
      index,
      ...titleOf(source),
      ...(above.length > 0 && { headings: above }),
      ...(isExercise(cell) && { exercise: true }),
    });
    ids.add(id);
  });
  if (outline.length === 0) return { fault: "empty" };
  if (outline.length > MAX_CELLS) return { fault: "tooMany" };
  return { notebook: { notebook: name, cells: outline } };
}

/** @param {unknown} written */
function cellsOf(written) {
  if (!isObject(written)) return null;
  const { cells, worksheets } = written;
  // Before version 4, cells were in worksheets.
  const sheets = Array.isArray(worksheets) ? worksheets.filter(isObject) : [];
  const older = sheets.flatMap((sheet) => (Array.isArray(sheet.cells) ? sheet.cells : []));
  const all = Array.isArray(cells) ? cells : sheets.length > 0 ? older : null;
  // Whatever else stands among the cells keeps its place: places are counted.
  return all?.map((cell) => (isObject(cell) ? cell : {})) ?? null;
}

/**
 * Whether ids are the notebook's: from version 4.5 on they stay the same for everyone.
 *
 * @param {unknown} written
 */
function hasCellIds(written) {
  const { nbformat, nbformat_minor: minor } = /** @type {Json} */ (written);
  return Number(nbformat) > 4 || (Number(nbformat) === 4 && Number(minor) >= 5);
}

/** @param {Json} cell */
function sourceOf({ source, input }) {
  const value = source ?? input;
  if (typeof value === "string") return value;
  return Array.isArray(value) ? value.filter((line) => typeof line === "string").join("") : "";
}

/**
 * Takes the headings of a cell of Markdown. One ends those below it.
 *
 * @param {string} source
 * @param {(string | undefined)[]} headings by level
 */
function readHeadings(source, headings) {
  let isCode = false;
  for (const line of source.split(/\r\n|\r|\n/)) {
    if (/^ {0,3}(```|~~~)/.test(line)) isCode = !isCode;
    const found = isCode ? null : /^ {0,3}(#{1,6})[ \t]+(.*)$/.exec(line);
    if (found === null) continue;
    const written = found[2].slice(0, MAX_LINE * 4).trimEnd();
    putHeading(written.replace(/[ \t]#+$/, ""), found[1].length, headings);
  }
}

/**
 * @param {string} written
 * @param {number} level from 1
 * @param {(string | undefined)[]} headings by level
 */
function putHeading(written, level, headings) {
  const heading = oneLine(written.replace(/[*`]/g, "").replace(/\s+/g, " "));
  if (heading === "") return;
  const place = Math.min(Math.max(Math.trunc(level), 1), MAX_LEVEL);
  headings[place - 1] = heading;
  headings.length = place;
}

/** @param {string} source */
function titleOf(source) {
  const line = source.split(/\r\n|\r|\n/).find((each) => each.trim() !== "");
  const title = oneLine(line ?? "");
  return title === "" ? {} : { title };
}

/** @param {string} line */
function oneLine(line) {
  const trimmed = wellFormed(line.slice(0, MAX_LINE * 4)).trim();
  const characters = [...trimmed];
  return characters.length > MAX_LINE ? `${characters.slice(0, MAX_LINE - 1).join("")}…` : trimmed;
}

/**
 * Whether the author marked the cell as an exercise, by a tag or by nbgrader.
 *
 * @param {Json} cell
 */
function isExercise({ metadata }) {
  if (!isObject(metadata)) return false;
  const { tags, nbgrader } = metadata;
  if (Array.isArray(tags) && tags.some((tag) => String(tag).toLowerCase() === "exercise")) {
    return true;
  }
  return isObject(nbgrader) && (nbgrader.solution === true || nbgrader.grade === true);
}

/**
 * @param {unknown} value
 * @returns {value is Json}
 */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
