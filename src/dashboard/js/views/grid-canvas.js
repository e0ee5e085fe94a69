// The grid's drawing: only what is in sight, on a canvas that stays while the scrolled area moves below it; and of that, only
// the rows in which something happened.

import { h, setText, show } from "../dom.js";
import { cellLabel, studentName } from "../names.js";
import { outcome, outcomeText } from "./grid-model.js";
import { Cells, Names, outline, paintMark, readColours } from "./grid-paint.js";

/** How long a run that just came lights up, in milliseconds. */
const GLOW = 900;
/** Below this height, in pixels, a row has no name. */
const NAMED = 12;
const STILL = window.matchMedia("(prefers-reduced-motion: reduce)");

export class GridCanvas {
  element;
  #page;
  #canvas = h("canvas", { "aria-hidden": "true" });
  /** As large as the whole grid would be; the canvas stays in sight within it. */
  #spacer = h("div", { class: "grid-spacer" }, this.#canvas);
  #tip = h("div", { class: "grid-tip", hidden: true, "aria-hidden": "true" });
  #voice = h("p", { class: "sr", "aria-live": "polite" });
  #colours = null;
  #rows = [];
  #columns = [];
  #overview = false;
  #measures = null;
  #cursor = null;
  #hover = null;
  #names = new Names();
  #places = new Map();
  /** What is to be drawn in the next frame: everything, or these rows. */
  #everything = true;
  #touched = new Set();
  #requested = false;

  constructor(page) {
    this.#page = page;
    this.element = h("div", { class: "grid-scroll", tabindex: "0", role: "application" }, this.#spacer, this.#tip, this.#voice);
    const { element } = this;
    element.addEventListener("scroll", () => this.invalidate(), { passive: true });
    element.addEventListener("pointermove", (event) => this.#point(event));
    element.addEventListener("pointerleave", () => this.#leave());
    element.addEventListener("click", (event) => this.#click(event));
    element.addEventListener("keydown", (event) => this.#key(event));
    element.addEventListener("focus", () => this.#say());
    element.addEventListener("blur", () => this.invalidate());
    new ResizeObserver(() => this.restyle()).observe(element);
  }

  /** Whether someone is pointing into it: rows should hold still. */
  get isPointedAt() {
    return this.#hover !== null;
  }

  /** Other colours, another size. */
  restyle() {
    this.#colours = null;
    this.#names.clear();
    this.#measure();
    this.invalidate();
  }

  show(rows, columns, overview) {
    const chosen = this.#cursor && this.#rows[this.#cursor.row];
    this.#rows = rows;
    this.#columns = columns;
    this.#places = new Map(rows.map((row, place) => [row, place]));
    this.#overview = overview;
    if (this.#cursor !== null) {
      const at = rows.indexOf(chosen);
      this.#cursor.row = at >= 0 ? at : Math.min(this.#cursor.row, rows.length - 1);
      if (rows.length === 0) this.#cursor = null;
    }
    this.element.setAttribute("aria-label", this.#page.t.grid.label(rows.length, columns.length));
    this.#measure();
    this.invalidate();
  }

  /** Draws everything in the next frame. */
  invalidate() {
    this.#everything = true;
    this.#request();
  }

  /** Draws these rows in the next frame. */
  touch(rows) {
    for (const row of rows) if (this.#places.has(row)) this.#touched.add(row);
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
    const { clientWidth: width, clientHeight: height } = this.element;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const head = 1.75 * rem;
    const fit = (height - head) / Math.max(1, this.#rows.length);
    const row = this.#overview ? Math.max(1, Math.min(1.5 * rem, fit)) : 1.5 * rem;
    const gutter = row < NAMED ? 1.5 * rem : Math.min(12 * rem, width * 0.36);
    const most = this.#overview ? 4.5 * rem : 3.5 * rem;
    const column = Math.max(1.1 * rem, Math.min(most, (width - gutter - 0.5 * rem) / Math.max(1, this.#columns.length)));
    this.#measures = { width, height, rem, head, gutter, row, column };
    this.#spacer.style.height = `${head + row * this.#rows.length}px`;
    this.#spacer.style.width = `${gutter + column * this.#columns.length}px`;
    const ratio = window.devicePixelRatio;
    const [w, tall] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.#canvas.width !== w || this.#canvas.height !== tall) {
      this.#canvas.width = w;
      this.#canvas.height = tall;
      this.#canvas.style.width = `${width}px`;
      this.#canvas.style.height = `${height}px`;
    }
  }

  #draw() {
    const context = this.#canvas.getContext("2d");
    this.#colours ??= readColours(this.element);
    const { width, height, head, gutter, row, column } = this.#measures;
    const { scrollTop, scrollLeft } = this.element;
    const ratio = window.devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const from = Math.max(0, Math.floor(scrollTop / row));
    const to = Math.min(this.#rows.length, Math.ceil((scrollTop + height - head) / row));
    const left = Math.max(0, Math.floor(scrollLeft / column));
    const right = Math.min(this.#columns.length, Math.ceil((scrollLeft + width - gutter) / column));
    let places = Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at);
    if (!this.#everything) {
      const touched = [...this.#touched].map((row) => this.#places.get(row));
      places = touched.filter((place) => place >= from && place < to);
    }
    const everything = this.#everything;
    this.#everything = false;
    this.#touched.clear();
    if (everything) context.clearRect(0, 0, width, height);
    context.save();
    context.beginPath();
    context.rect(0, head, width, height - head);
    context.clip();
    this.#drawRows(context, places, left, right);
    context.restore();
    if (everything) this.#drawHead(context, left, right);
    this.#drawCursor(context);
  }

  /** Where a row is on the canvas, in whole pixels: a thousand of them leave no seams. */
  #span(place) {
    const { head, row } = this.#measures;
    const top = Math.round(place * row) - Math.round(this.element.scrollTop);
    return [head + top, Math.round((place + 1) * row) - Math.round(place * row)];
  }

  #drawRows(context, places, left, right) {
    const { width, height, head, gutter, row, column } = this.#measures;
    const colours = this.#colours;
    const lit = this.#lit()?.row;
    const now = performance.now();
    const cells = new Cells();
    const frames = [];
    const gap = row >= 8 ? Math.min(2, row / 8) : row >= 4 ? 0.5 : 0;
    for (const place of places) {
      const { student, ran } = this.#rows[place];
      const [y, tall] = this.#span(place);
      context.clearRect(0, y, width, tall);
      if (place === lit) {
        context.fillStyle = colours.hover;
        context.fillRect(0, y, width, tall);
      }
      const glow = ran !== null && !STILL.matches ? 1 - (now - ran.at) / GLOW : 0;
      if (glow > 0) this.touch([this.#rows[place]]);
      for (let at = left; at < right; at += 1) {
        const { cell, name } = this.#columns[at];
        const box = [gutter + at * column - this.element.scrollLeft + 1, y + gap, column - 2, tall - 2 * gap];
        cells.add(outcome(student.cells.get(name)), ...box);
        if (row >= NAMED && student.cellId === cell.cellId && student.notebookPath === cell.notebookPath) {
          frames.push([1, colours.ink, box, 1.5]);
        }
        if (glow > 0 && ran.cell === cell) frames.push([glow, colours.accent, box, row >= NAMED ? 3 : 1]);
      }
    }
    context.save();
    context.beginPath();
    context.rect(gutter, head, width - gutter, height - head);
    context.clip();
    cells.paint(context, colours);
    for (const [alpha, ...frame] of frames) {
      context.globalAlpha = alpha;
      outline(context, ...frame);
    }
    context.restore();
    this.#drawNames(context, places);
  }

  #drawNames(context, places) {
    const { rem, gutter, row } = this.#measures;
    const colours = this.#colours;
    context.textBaseline = "middle";
    context.direction = "ltr";
    context.font = this.#font(0.8125);
    for (const place of places) {
      const { student, status } = this.#rows[place];
      const [y, tall] = this.#span(place);
      if (row < NAMED) {
        context.fillStyle = colours[status];
        context.fillRect(gutter - 0.75 * rem, y, 0.5 * rem, tall);
        continue;
      }
      paintMark(context, colours[status], status, 0.6 * rem, y + tall / 2, 0.26 * rem);
      context.fillStyle = status === "idle" ? colours["ink-3"] : colours.ink;
      context.fillText(this.#names.fit(context, studentName(student), gutter - 1.75 * rem), 1.25 * rem, y + tall / 2 + 0.5);
    }
  }

  #drawHead(context, left, right) {
    const { rem, head, gutter, column, width } = this.#measures;
    const { scrollLeft } = this.element;
    const colours = this.#colours;
    context.save();
    context.beginPath();
    context.rect(gutter, 0, width - gutter, head);
    context.clip();
    context.font = this.#font(0.6875);
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = colours["ink-2"];
    const every = Math.ceil((1.4 * rem) / column);
    const lit = this.#lit();
    for (let place = left; place < right; place += 1) {
      const { cell } = this.#columns[place];
      const x = gutter + (place + 0.5) * column - scrollLeft;
      const chosen = lit?.column === place;
      if (place % every !== 0 && !chosen) continue;
      const label = cell.cellIndex === null ? cellLabel(cell, this.#page.t).slice(0, 4) : String(cell.cellIndex);
      context.fillStyle = chosen ? colours.accent : colours["ink-2"];
      context.fillText(label, x, head / 2);
    }
    context.restore();
    context.textAlign = "left";
    context.fillStyle = colours.line;
    context.fillRect(0, head - 1, width, 1);
  }

  #drawCursor(context) {
    const { gutter, column } = this.#measures;
    if (this.#cursor === null || document.activeElement !== this.element) return;
    const x = gutter + this.#cursor.column * column - this.element.scrollLeft;
    const [y, tall] = this.#span(this.#cursor.row);
    outline(context, this.#colours.accent, [x, y, column, Math.max(tall, 4)], 2.5);
  }

  #font(size) {
    return `${size * this.#measures.rem}px ${getComputedStyle(this.element).fontFamily}`;
  }

  /** The row and column that are pointed at, or where the cursor is. */
  #lit() {
    return this.#hover ?? (document.activeElement === this.element ? this.#cursor : null);
  }

  #at(event) {
    const box = this.#canvas.getBoundingClientRect();
    const { head, gutter, row, column } = this.#measures;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const at = Math.floor((y - head + this.element.scrollTop) / row);
    if (y < head || at < 0 || at >= this.#rows.length) return null;
    const place = x < gutter ? null : Math.floor((x - gutter + this.element.scrollLeft) / column);
    return { row: at, column: place !== null && place < this.#columns.length ? place : null };
  }

  #point(event) {
    this.#hover = this.#at(event);
    this.element.classList.toggle("pointed", this.#hover !== null);
    show(this.#tip, this.#hover !== null);
    if (this.#hover !== null) {
      setText(this.#tip, this.#describe(this.#hover));
      const { clientX: x, clientY: y } = event;
      const [across, down] = [this.#tip.offsetWidth, this.#tip.offsetHeight];
      const left = x + 14 + across > window.innerWidth ? Math.max(0, x - across - 10) : x + 14;
      const top = y + 18 + down > window.innerHeight ? y - down - 8 : y + 18;
      this.#tip.style.transform = `translate(${left}px, ${top}px)`;
    }
    this.invalidate();
  }

  #leave() {
    this.#hover = null;
    show(this.#tip, false);
    this.invalidate();
  }

  #click(event) {
    const at = this.#at(event);
    if (at === null) return;
    this.#cursor = { row: at.row, column: at.column ?? 0 };
    this.#page.open(this.#rows[at.row].student.studentId);
  }

  #key(event) {
    if (this.#rows.length === 0 || this.#columns.length === 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const cursor = this.#cursor ?? { row: 0, column: 0 };
    const page = Math.max(1, Math.floor((this.#measures.height - this.#measures.head) / this.#measures.row) - 1);
    const moves = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      PageUp: [-page, 0],
      PageDown: [page, 0],
      Home: [0, -Infinity],
      End: [0, Infinity],
    };
    if (event.key === "Enter") {
      this.#page.open(this.#rows[cursor.row].student.studentId);
    } else if (event.key in moves) {
      const [down, across] = this.#cursor === null ? [0, 0] : moves[event.key];
      const clamp = (value, length) => Math.max(0, Math.min(length - 1, value));
      this.#cursor = { row: clamp(cursor.row + down, this.#rows.length), column: clamp(cursor.column + across, this.#columns.length) };
      this.#reveal();
      this.#say();
      this.invalidate();
    } else {
      return;
    }
    event.preventDefault();
  }

  #reveal() {
    const { width, height, head, gutter, row, column } = this.#measures;
    const { element } = this;
    const [top, left] = [this.#cursor.row * row, this.#cursor.column * column];
    element.scrollTop = Math.min(top, Math.max(element.scrollTop, top + row - (height - head)));
    element.scrollLeft = Math.min(left, Math.max(element.scrollLeft, left + column - (width - gutter)));
  }

  #say() {
    if (this.#cursor !== null) setText(this.#voice, this.#describe(this.#cursor));
    this.invalidate();
  }

  #describe({ row, column }) {
    const { t } = this.#page;
    const { student, status } = this.#rows[row];
    const name = `\u2068${studentName(student)}\u2069`;
    if (column === null) return `${name} · ${t.status[status]}`;
    const { cell, name: key } = this.#columns[column];
    return t.grid.at(name, cellLabel(cell, t), outcomeText(student.cells.get(key), t));
  }
}
