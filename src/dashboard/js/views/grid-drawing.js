// Draws rows, names and heads of the grid into its canvas.

import { cellLabel, cellNumber, shortId, studentName } from "../names.js";
import { standing } from "../outline.js";
import { outcome } from "./grid-model.js";
import { Cells, FittedNames, drawMark, drawOutline, readColours } from "./grid-shapes.js";

/**
 * @import { Progress } from "../outline.js"
 * @import { Page } from "./list.js"
 * @import { Row } from "../store.js"
 * @import { Student } from "../student.js"
 * @import { Geometry } from "./grid-geometry.js"
 * @import { Column } from "./grid-model.js"
 * @import { Box, Colours } from "./grid-shapes.js"
 */

/** How long a run that was just folded lights up, in milliseconds. */
const GLOW = 900;
/** Sizes of type, in rem. */
const NAME_SIZE = 0.8125;
const HEAD_SIZE = 0.6875;
/** Middles of the lines of an outline's head, in rem. */
const HEADING_LINE = 0.75;
const NUMBER_LINE = 1.9;
/** Less room than this, in rem, says nothing of a heading. */
const LEAST_HEADING = 2;
const STILL = window.matchMedia("(prefers-reduced-motion: reduce)");

/**
 * A row, a cell or a column's head that is pointed at, or that has the keyboard's cursor.
 *
 * @typedef {{ row: number | null, column: number | null }} Spot
 */

export class Drawing {
  #canvas;
  #context;
  #page;
  #names = new FittedNames();
  #fittedHeadings = new FittedNames();
  /** @type {Colours | null} */
  #colours = null;
  /**
   * How far the students are, if the columns are those of an outline.
   *
   * @type {Progress | null}
   */
  progress = null;

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
    this.#fittedHeadings.clear();
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
    const { width, height, head, gutter, column, isNamed, isScrolled } = geometry;
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
      if (isScrolled) this.#edge(gutter, y, tall);
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
    const { rem, gutter, isNamed, isStacked, done } = geometry;
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
      const up = isStacked ? 0.5 * rem : 0;
      drawMark(context, colours[status], status, [0.6 * rem, middle - up], 0.26 * rem);
      context.fillStyle = status === "idle" ? colours.inkFaint : colours.ink;
      this.#name(student, gutter - done - 1.75 * rem, [1.25 * rem, middle - up + 0.5]);
      if (isStacked) this.#done(student, "left", 1.25 * rem, middle + up);
      else this.#done(student, "right", gutter - 0.5 * rem, middle);
    }
  }

  /**
   * Writes a student's name, and the id if somebody else has the same name. The id has the room
   * that the name leaves, and half of the whole at least: it is by what the two differ.
   *
   * @param {Student} student
   * @param {number} room
   * @param {[x: number, y: number]} place
   */
  #name(student, room, [x, y]) {
    const context = this.#context;
    const whole = studentName(student);
    if (!this.#page.store.hasNamesake(student)) {
      context.fillText(this.#names.fit(context, whole, room), x, y);
      return;
    }
    const left = Math.max(room / 2, room - context.measureText(whole).width);
    const id = this.#names.fit(context, ` ${shortId(student.studentId)}`, left);
    const name = this.#names.fit(context, whole, room - context.measureText(id).width);
    context.fillText(name, x, y);
    context.fillStyle = this.#palette.inkFaint;
    context.fillText(id, x + context.measureText(name).width, y);
  }

  /**
   * Writes how many exercises a student has done, and whether that is behind or ahead of the class.
   *
   * @param {Student} student
   * @param {"left" | "right"} side of the text that `x` is
   * @param {number} x
   * @param {number} middle
   */
  #done(student, side, x, middle) {
    if (this.progress === null) return;
    const { exercises, done } = this.progress;
    const context = this.#context;
    const colours = this.#palette;
    const where = standing(this.progress, student);
    const text = this.#page.t.outline.done(done.get(student) ?? 0, exercises);
    context.textAlign = side;
    context.fillStyle = where === 0 ? colours.inkFaint : colours.inkSoft;
    const mark = where === 0 ? "" : where < 0 ? "▾" : "▴";
    const words = side === "left" ? [text, mark] : [mark, text];
    context.fillText(words.join(" ").trim(), x, middle + 0.5);
    context.textAlign = "left";
  }

  /**
   * @param {Geometry} geometry
   * @param {Column[]} columns
   * @param {Spot | null} lit
   */
  head(geometry, columns, lit) {
    const { rem, head, gutter, column, width, isPlanned, isScrolled } = geometry;
    const context = this.#context;
    const colours = this.#palette;
    const middle = isPlanned ? NUMBER_LINE * rem : head / 2;
    this.#clipped([gutter, 0, width - gutter, head], () => {
      if (isPlanned) this.#headings(geometry, columns);
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
        const isExercise = columns[index].planned?.isExercise === true;
        context.fillStyle = isLit ? colours.accent : isExercise ? colours.ink : colours.inkSoft;
        this.#setFont(HEAD_SIZE * rem, isExercise ? 700 : 400);
        const text = String(cellNumber(cell) ?? label);
        context.fillText(text, geometry.columnLeft(index) + column / 2, middle);
      }
      this.#setFont(HEAD_SIZE * rem);
      if (isPlanned) this.#shares(geometry, columns);
    });
    if (isPlanned) this.#corner(geometry);
    context.fillStyle = colours.line;
    context.fillRect(0, head - 1, width, 1);
    if (isScrolled) this.#edge(gutter, 0, head);
  }

  /**
   * Says what the numbers beside the names count.
   *
   * @param {Geometry} geometry
   */
  #corner({ rem, head, gutter, done }) {
    if (done === 0) return;
    const context = this.#context;
    this.#setFont(HEAD_SIZE * rem);
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillStyle = this.#palette.inkFaint;
    context.fillText(this.#page.t.outline.exercises, gutter - 0.5 * rem, head - 0.75 * rem);
    context.textAlign = "left";
  }

  /**
   * Draws the edge below which the columns to the left have gone.
   *
   * @param {number} gutter
   * @param {number} top
   * @param {number} height
   */
  #edge(gutter, top, height) {
    this.#context.fillStyle = this.#palette.lineStrong;
    this.#context.fillRect(gutter - 1, top, 1, height);
  }

  /**
   * Writes each heading of the outline above its columns. One that has no room for a few letters is
   * left out: a column's tip has it.
   *
   * @param {Geometry} geometry
   * @param {Column[]} columns
   */
  #headings(geometry, columns) {
    const { rem, gutter, head, width } = geometry;
    const context = this.#context;
    const colours = this.#palette;
    const [left, right] = geometry.columnsInSight;
    this.#setFont(HEAD_SIZE * rem);
    context.textAlign = "left";
    context.textBaseline = "middle";
    let first = left;
    while (first > 0 && isUnder(columns[first], columns[first - 1])) first -= 1;
    while (first < right) {
      let next = first + 1;
      while (next < columns.length && isUnder(columns[next], columns[first])) next += 1;
      const from = geometry.columnLeft(first);
      const start = Math.max(gutter, from);
      // A heading stays in sight while its columns go out of it.
      const room = Math.min(width, geometry.columnLeft(next)) - start - 0.5 * rem;
      const text = columns[first].planned?.headings.at(-1) ?? "";
      context.fillStyle = colours.lineStrong;
      if (first > 0) context.fillRect(Math.round(from), 0, 1, head);
      if (text !== "" && room > LEAST_HEADING * rem) {
        context.fillStyle = colours.ink;
        const fitted = this.#fittedHeadings.fit(context, text, room);
        context.fillText(fitted, start + 0.3 * rem, HEADING_LINE * rem);
      }
      first = next;
    }
  }

  /**
   * Draws the share of the students here who have succeeded in each cell of the outline: as a bar,
   * and as a number above it, which stands upright where columns are narrow.
   *
   * @param {Geometry} geometry
   * @param {Column[]} columns
   */
  #shares(geometry, columns) {
    const { rem, column, head } = geometry;
    const { store, t, focus } = this.#page;
    const context = this.#context;
    const colours = this.#palette;
    const here = focus.team === null ? store.rows.size : focus.ofTeam(store.rows.values()).length;
    const [left, right] = geometry.columnsInSight;
    for (let index = left; index < right; index += 1) {
      const { planned, done } = columns[index];
      if (planned === null || here === 0) continue;
      const from = geometry.columnLeft(index);
      context.fillStyle = colours.none;
      context.fillRect(from + 1, head - 5, column - 2, 3);
      context.fillStyle = colours.ok;
      context.fillRect(from + 1, head - 5, (column - 2) * (done / here), 3);
      context.fillStyle = colours.inkSoft;
      const centre = from + column / 2;
      const percent = t.percent(done / here);
      const counts = t.outline.counts(done, here);
      if (column < 2.1 * rem) {
        context.save();
        context.translate(centre, 3.55 * rem);
        context.rotate(-Math.PI / 2);
        context.fillText(percent, 0, 0);
        context.restore();
      } else if (context.measureText(counts).width < column - 2) {
        context.fillText(percent, centre, 3.05 * rem);
        context.fillStyle = colours.inkFaint;
        context.fillText(counts, centre, 4.05 * rem);
      } else {
        context.fillText(percent, centre, 3.55 * rem);
      }
    }
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

  /**
   * @param {number} pixels
   * @param {number} [weight]
   */
  #setFont(pixels, weight = 400) {
    this.#context.font = `${weight} ${pixels}px ${getComputedStyle(this.#canvas).fontFamily}`;
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
 * Whether a column stands under the heading of another one.
 *
 * @param {Column} column
 * @param {Column} other
 */
function isUnder(column, other) {
  return column.planned?.headings.join("\0") === other.planned?.headings.join("\0");
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
