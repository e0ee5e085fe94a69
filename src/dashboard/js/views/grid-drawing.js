// Draws rows, names and heads of the grid into its canvas.

import { cellLabel, cellNumber, fullName } from "../names.js";
import { outcome } from "./grid-model.js";
import { Cells, FittedNames, drawMark, drawOutline, readColours } from "./grid-shapes.js";

/**
 * @import { Page } from "./list.js"
 * @import { Row } from "../store.js"
 * @import { Geometry } from "./grid-geometry.js"
 * @import { Column } from "./grid-model.js"
 * @import { Box, Colours } from "./grid-shapes.js"
 */

/** How long a run that was just folded lights up, in milliseconds. */
const GLOW = 900;
/** Sizes of type, in rem. */
const NAME_SIZE = 0.8125;
const HEAD_SIZE = 0.6875;
const STILL = window.matchMedia("(prefers-reduced-motion: reduce)");

/**
 * A row or a cell that is pointed at, or that has the keyboard's cursor.
 *
 * @typedef {{ row: number, column: number | null }} Spot
 */

export class Drawing {
  #canvas;
  #context;
  #page;
  #names = new FittedNames();
  /** @type {Colours | null} */
  #colours = null;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Page} page
   */
  constructor(canvas, page) {
    this.#canvas = canvas;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.#page = page;
  }

  /** Colours or sizes have changed. */
  restyle() {
    this.#colours = null;
    this.#names.clear();
  }

  /** The page's colours. They are read once for each style, since that takes a layout. */
  get #palette() {
    this.#colours ??= readColours(this.#canvas);
    return this.#colours;
  }

  /**
   * Prepares the canvas for a frame.
   *
   * @param {Geometry} geometry
   * @param {boolean} everything whether all that was drawn is to go
   */
  begin({ width, height }, everything) {
    const ratio = window.devicePixelRatio;
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (everything) this.#context.clearRect(0, 0, width, height);
  }

  /**
   * @param {Geometry} geometry
   * @param {[index: number, row: Row][]} rows
   * @param {Column[]} columns
   * @param {Spot | null} lit
   * @returns {Row[]} the rows that light up, and have to be drawn in the next frame too
   */
  rows(geometry, rows, columns, lit) {
    const { width, height, head } = geometry;
    return this.#clipped([0, head, width, height - head], () => {
      const glowing = this.#cells(geometry, rows, columns, lit);
      this.#rowNames(geometry, rows);
      return glowing;
    });
  }

  /**
   * @param {Geometry} geometry
   * @param {[index: number, row: Row][]} rows
   * @param {Column[]} columns
   * @param {Spot | null} lit
   */
  #cells(geometry, rows, columns, lit) {
    const { width, height, head, gutter, column, isNamed } = geometry;
    const context = this.#context;
    const colours = this.#palette;
    const now = performance.now();
    const cells = new Cells();
    /** @type {Row[]} */
    const glowing = [];
    /** @type {{ alpha: number, colour: string, box: Box, thickness: number }[]} */
    const outlines = [];
    const [left, right] = geometry.columnsInSight;
    const gap = cellGap(geometry.row);
    for (const [index, row] of rows) {
      const { student, ran } = row;
      const [y, tall] = geometry.rowSpan(index);
      context.clearRect(0, y, width, tall);
      if (index === lit?.row) {
        context.fillStyle = colours.hover;
        context.fillRect(0, y, width, tall);
      }
      const alpha = ran !== null && !STILL.matches ? 1 - (now - ran.at) / GLOW : 0;
      if (alpha > 0) glowing.push(row);
      for (let at = left; at < right; at += 1) {
        const { cell, name } = columns[at];
        /** @type {Box} */
        const box = [geometry.columnLeft(at) + 1, y + gap, column - 2, tall - 2 * gap];
        cells.add(outcome(student.cells.get(name)), box);
        const here = student.cellId === cell.cellId && student.notebookPath === cell.notebookPath;
        if (isNamed && here) outlines.push({ alpha: 1, colour: colours.ink, box, thickness: 1.5 });
        if (alpha > 0 && ran?.cell === cell) {
          outlines.push({ alpha, colour: colours.accent, box, thickness: isNamed ? 3 : 1 });
        }
      }
    }
    this.#clipped([gutter, head, width - gutter, height - head], () => {
      cells.draw(context, colours);
      for (const { alpha, colour, box, thickness } of outlines) {
        context.globalAlpha = alpha;
        drawOutline(context, colour, box, thickness);
      }
    });
    return glowing;
  }

  /**
   * @param {Geometry} geometry
   * @param {[index: number, row: Row][]} rows
   */
  #rowNames(geometry, rows) {
    const { rem, gutter, isNamed } = geometry;
    const { store } = this.#page;
    const context = this.#context;
    const colours = this.#palette;
    context.textBaseline = "middle";
    context.direction = "ltr";
    this.#setFont(NAME_SIZE * rem);
    for (const [index, { student, status }] of rows) {
      const [y, tall] = geometry.rowSpan(index);
      const middle = y + tall / 2;
      if (!isNamed) {
        context.fillStyle = colours[status];
        context.fillRect(gutter - 0.75 * rem, y, 0.5 * rem, tall);
        continue;
      }
      drawMark(context, colours[status], status, [0.6 * rem, middle], 0.26 * rem);
      context.fillStyle = status === "idle" ? colours.inkFaint : colours.ink;
      const name = this.#names.fit(context, fullName(student, store), gutter - 1.75 * rem);
      context.fillText(name, 1.25 * rem, middle + 0.5);
    }
  }

  /**
   * @param {Geometry} geometry
   * @param {Column[]} columns
   * @param {Spot | null} lit
   */
  head(geometry, columns, lit) {
    const { rem, head, gutter, column, width } = geometry;
    const context = this.#context;
    const colours = this.#palette;
    this.#clipped([gutter, 0, width - gutter, head], () => {
      this.#setFont(HEAD_SIZE * rem);
      context.textAlign = "center";
      context.textBaseline = "middle";
      // Where columns are narrow, not every one has room for its number.
      const every = Math.ceil((1.4 * rem) / column);
      const [left, right] = geometry.columnsInSight;
      for (let index = left; index < right; index += 1) {
        const { cell } = columns[index];
        const isLit = lit?.column === index;
        if (index % every !== 0 && !isLit) continue;
        const label = cellLabel(cell, this.#page.t).slice(0, 4);
        context.fillStyle = isLit ? colours.accent : colours.inkSoft;
        const text = String(cellNumber(cell) ?? label);
        context.fillText(text, geometry.columnLeft(index) + column / 2, head / 2);
      }
    });
    context.fillStyle = colours.line;
    context.fillRect(0, head - 1, width, 1);
  }

  /**
   * @param {Geometry} geometry
   * @param {{ row: number, column: number }} cursor
   */
  cursor(geometry, { row, column }) {
    const [y, tall] = geometry.rowSpan(row);
    /** @type {Box} */
    const box = [geometry.columnLeft(column), y, geometry.column, Math.max(tall, 4)];
    drawOutline(this.#context, this.#palette.accent, box, 2.5);
  }

  /** @param {number} pixels */
  #setFont(pixels) {
    this.#context.font = `${pixels}px ${getComputedStyle(this.#canvas).fontFamily}`;
  }

  /**
   * Draws within a box alone. All settings are as before afterwards.
   *
   * @template Result
   * @param {Box} box
   * @param {() => Result} draw
   */
  #clipped(box, draw) {
    const context = this.#context;
    context.save();
    context.beginPath();
    context.rect(...box);
    context.clip();
    const result = draw();
    context.restore();
    return result;
  }
}

/**
 * The empty space above and below a cell.
 *
 * @param {number} row the height of a row
 */
function cellGap(row) {
  if (row >= 8) return Math.min(2, row / 8);
  return row >= 4 ? 0.5 : 0;
}
