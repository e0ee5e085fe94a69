// The grid as a canvas: which rows are drawn when, and what pointer and keyboard do. Of the rows in
// sight only those are drawn in which something happened.

import { h, setText, show } from "../dom.js";
import { cellLabel, fullName } from "../names.js";
import { Drawing } from "./grid-drawing.js";
import { Geometry } from "./grid-geometry.js";
import { outcomeText } from "./grid-model.js";
import { describeColumn, describeDone } from "./grid-words.js";

/**
 * @import { Row } from "../store.js"
 * @import { Spot } from "./grid-drawing.js"
 * @import { Column } from "./grid-model.js"
 * @import { Progress } from "../outline.js"
 * @import { Page } from "./list.js"
 */

export class GridCanvas {
  element;
  #page;
  #canvas = h("canvas", { "aria-hidden": "true" });
  /** As large as the whole grid; the canvas stays in sight within it. */
  #spacer = h("div", { class: "grid-spacer" }, this.#canvas);
  #tip = h("div", { class: "grid-tip", hidden: true, "aria-hidden": "true" });
  /** Read out by screen readers. */
  #voice = h("p", { class: "visually-hidden", "aria-live": "polite" });
  #drawing;
  #geometry;
  /** @type {Row[]} */
  #rows = [];
  /** @type {Column[]} */
  #columns = [];
  /**
   * The rows' indices.
   *
   * @type {Map<Row, number>}
   */
  #indices = new Map();
  #look = { overview: false, isPlanned: false };
  /**
   * Where the keyboard is.
   *
   * @type {{ row: number, column: number } | null}
   */
  #cursor = null;
  /**
   * Where the pointer is.
   *
   * @type {Spot | null}
   */
  #hover = null;
  /** Whether the next frame draws everything, or the rows in `#touched` alone. */
  #everything = true;
  /** @type {Set<Row>} */
  #touched = new Set();
  #requested = false;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
    this.#drawing = new Drawing(this.#canvas, page);
    const properties = { class: "grid-scroll", tabindex: "0", role: "application" };
    this.element = h("div", properties, this.#spacer, this.#tip, this.#voice);
    const { element } = this;
    this.#geometry = new Geometry(element, 0, 0, this.#look);
    element.addEventListener("scroll", () => this.#invalidate(), { passive: true });
    element.addEventListener("pointermove", (event) => this.#point(event));
    element.addEventListener("pointerleave", () => this.#leave());
    element.addEventListener("click", (event) => this.#click(event));
    element.addEventListener("keydown", (event) => this.#press(event));
    element.addEventListener("focus", () => this.#say());
    element.addEventListener("blur", () => this.#invalidate());
    new ResizeObserver(() => this.restyle()).observe(element);
  }

  /** Whether someone points into the grid: its rows should hold still. */
  get isPointedAt() {
    return this.#hover !== null;
  }

  /** Colours or sizes have changed. */
  restyle() {
    this.#drawing.restyle();
    this.#measure();
    this.#invalidate();
  }

  /**
   * @param {Row[]} rows
   * @param {Column[]} columns
   * @param {boolean} overview whether all rows are to be in sight at once
   * @param {Progress | null} progress if the columns are those of an outline
   */
  show(rows, columns, overview, progress) {
    const chosen = this.#cursor === null ? undefined : this.#rows[this.#cursor.row];
    this.#rows = rows;
    this.#columns = columns;
    this.#indices = new Map(rows.map((row, index) => [row, index]));
    this.#look = { overview, isPlanned: progress !== null };
    this.#drawing.progress = progress;
    if (this.#cursor !== null) {
      // The cursor stays at its student.
      const index = chosen === undefined ? undefined : this.#indices.get(chosen);
      this.#cursor.row = index ?? Math.min(this.#cursor.row, rows.length - 1);
      // Another notebook has fewer columns.
      this.#cursor.column = Math.min(this.#cursor.column, columns.length - 1);
      if (rows.length === 0 || columns.length === 0) this.#cursor = null;
    }
    const label = this.#page.t.grid.label(rows.length, columns.length);
    this.element.setAttribute("aria-label", label);
    this.#measure();
    this.#invalidate();
  }

  /** Draws everything in the next frame. */
  #invalidate() {
    this.#everything = true;
    this.#request();
  }

  /**
   * Draws these rows in the next frame.
   *
   * @param {Iterable<Row>} rows
   */
  touch(rows) {
    for (const row of rows) if (this.#indices.has(row)) this.#touched.add(row);
    if (this.#touched.size > 0) this.#request();
  }

  #request() {
    if (this.#requested) return;
    this.#requested = true;
    requestAnimationFrame(() => {
      this.#requested = false;
      this.#draw();
    });
  }

  #measure() {
    const counts = /** @type {const} */ ([this.#rows.length, this.#columns.length]);
    const geometry = new Geometry(this.element, ...counts, this.#look);
    this.#geometry = geometry;
    this.#spacer.style.height = `${geometry.totalHeight}px`;
    this.#spacer.style.width = `${geometry.totalWidth}px`;
    const ratio = window.devicePixelRatio;
    const width = Math.round(geometry.width * ratio);
    const height = Math.round(geometry.height * ratio);
    // Setting the size empties a canvas, even if it is the same.
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
      this.#canvas.style.width = `${geometry.width}px`;
      this.#canvas.style.height = `${geometry.height}px`;
    }
  }

  #draw() {
    const geometry = this.#geometry;
    const everything = this.#everything;
    const [from, to] = geometry.rowsInSight;
    /** @type {[number, Row][]} */
    let drawn = [];
    if (everything) {
      for (let index = from; index < to; index += 1) drawn.push([index, this.#rows[index]]);
    } else {
      const touched = [...this.#touched].map((row) => this.#entry(row));
      drawn = touched.filter(([index]) => index >= from && index < to);
    }
    this.#everything = false;
    this.#touched.clear();
    this.#canvas.classList.toggle("has-more", geometry.hasMore);
    this.#drawing.begin(geometry, everything);
    const lit = this.#lit;
    this.touch(this.#drawing.rows(geometry, drawn, this.#columns, lit));
    if (everything) this.#drawing.head(geometry, this.#columns, lit);
    if (this.#cursor !== null && this.#isFocused) this.#drawing.cursor(geometry, this.#cursor);
  }

  /**
   * @param {Row} row
   * @returns {[number, Row]}
   */
  #entry(row) {
    return [this.#indices.get(row) ?? -1, row];
  }

  get #isFocused() {
    return document.activeElement === this.element;
  }

  /** The row and column that are lit: those under the pointer, or else under the cursor. */
  get #lit() {
    return this.#hover ?? (this.#isFocused ? this.#cursor : null);
  }

  /** @param {MouseEvent} event */
  #at(event) {
    const box = this.#canvas.getBoundingClientRect();
    return this.#geometry.at(event.clientX - box.left, event.clientY - box.top);
  }

  /** @param {PointerEvent} event */
  #point(event) {
    this.#hover = this.#at(event);
    this.element.classList.toggle("is-pointed-at", this.#hover !== null);
    show(this.#tip, this.#hover !== null);
    if (this.#hover !== null) {
      setText(this.#tip, this.#describe(this.#hover));
      this.#placeTip(event.clientX, event.clientY);
    }
    this.#invalidate();
  }

  /**
   * Places the tip beside the pointer, within the window.
   *
   * @param {number} x
   * @param {number} y
   */
  #placeTip(x, y) {
    const { offsetWidth: width, offsetHeight: height } = this.#tip;
    const left = x + 14 + width > window.innerWidth ? Math.max(0, x - width - 10) : x + 14;
    const top = y + 18 + height > window.innerHeight ? y - height - 8 : y + 18;
    this.#tip.style.transform = `translate(${left}px, ${top}px)`;
  }

  #leave() {
    this.#hover = null;
    show(this.#tip, false);
    this.#invalidate();
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const at = this.#at(event);
    if (at === null) return;
    const { row, column } = at;
    if (row !== null) this.#cursor = { row, column: column ?? 0 };
    this.#open(at);
  }

  /**
   * Opens the cell of all students, a student, or the student's latest run of the cell.
   *
   * @param {Spot} spot
   */
  #open({ row, column }) {
    const cell = column === null ? null : this.#columns[column].cell;
    if (row === null) {
      if (cell !== null) this.#page.openCell(cell);
      return;
    }
    const { student } = this.#rows[row];
    const hasRun = cell?.students.has(student) ?? false;
    this.#page.open(student.studentId, cell !== null && hasRun ? cell : undefined);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const isEmpty = this.#rows.length === 0 || this.#columns.length === 0;
    if (isEmpty || event.ctrlKey || event.metaKey || event.altKey) return;
    const cursor = this.#cursor ?? { row: 0, column: 0 };
    const move = this.#move(event.key);
    if (event.key === "Enter") {
      this.#open(event.shiftKey ? { ...cursor, row: null } : cursor);
    } else if (move !== undefined) {
      // The first key only shows where the cursor is.
      const [down, across] = this.#cursor === null ? [0, 0] : move;
      this.#cursor = {
        row: clamp(cursor.row + down, this.#rows.length),
        column: clamp(cursor.column + across, this.#columns.length),
      };
      this.#geometry.reveal(this.#cursor);
      this.#say();
    } else {
      return;
    }
    event.preventDefault();
  }

  /**
   * Rows and columns by which a key moves the cursor.
   *
   * @param {string} key
   * @returns {[number, number] | undefined}
   */
  #move(key) {
    const page = this.#geometry.rowsOfPage;
    switch (key) {
      case "ArrowUp":
        return [-1, 0];
      case "ArrowDown":
        return [1, 0];
      case "ArrowLeft":
        return [0, -1];
      case "ArrowRight":
        return [0, 1];
      case "PageUp":
        return [-page, 0];
      case "PageDown":
        return [page, 0];
      case "Home":
        return [0, -Infinity];
      case "End":
        return [0, Infinity];
      default:
        return undefined;
    }
  }

  /** Tells screen readers where the cursor is. */
  #say() {
    if (this.#cursor !== null) setText(this.#voice, this.#describe(this.#cursor));
    this.#invalidate();
  }

  /** @param {Spot} spot */
  #describe({ row, column }) {
    const { store, t } = this.#page;
    if (row === null)
      return column === null ? "" : describeColumn(this.#columns[column], this.#page);
    const { student, status } = this.#rows[row];
    const name = `\u2068${fullName(student, store)}\u2069`;
    if (column === null) {
      const progress = this.#drawing.progress;
      const done = progress === null ? "" : ` · ${describeDone(progress, student, t)}`;
      return `${name} · ${t.status[status]}${done}`;
    }
    const { cell, name: key } = this.#columns[column];
    return t.grid.at(name, cellLabel(cell, t), outcomeText(student.cells.get(key), t));
  }
}

/**
 * @param {number} value
 * @param {number} length
 */
function clamp(value, length) {
  return Math.max(0, Math.min(length - 1, value));
}
