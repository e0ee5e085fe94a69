// The grid's drawing: only what is in sight, on a canvas that stays while the scrolled area moves below it.

import { h, setText, show } from "../dom.js";
import { cellLabel, studentName } from "../names.js";
import { outcome, outcomeText } from "./grid-model.js";

/** How long a run that just came lights up, in milliseconds. */
const GLOW = 900;
/** Below this height, in pixels, a row has no name. */
const NAMED = 12;
const STILL = window.matchMedia("(prefers-reduced-motion: reduce)");
const COLOURS = ["ink", "ink-2", "ink-3", "line", "surface", "hover", "ok", "mended", "failed", "none", "accent", "help", "stuck", "error", "active", "idle"];

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
  #fitted = new Map();
  #redraw = false;

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
    this.#fitted.clear();
    this.#measure();
    this.invalidate();
  }

  show(rows, columns, overview) {
    const chosen = this.#cursor && this.#rows[this.#cursor.row];
    this.#rows = rows;
    this.#columns = columns;
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

  /** Draws in the next frame. */
  invalidate() {
    if (this.#redraw) return;
    this.#redraw = true;
    requestAnimationFrame(() => {
      this.#redraw = false;
      this.#draw();
    });
  }

  #measure() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const head = 1.75 * rem;
    const fit = (height - head) / Math.max(1, this.#rows.length);
    const row = this.#overview ? Math.max(2, Math.min(1.5 * rem, fit)) : 1.5 * rem;
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
    const colours = this.#colours;
    const { width, height, rem, head, gutter, row, column } = this.#measures;
    const { scrollTop, scrollLeft } = this.element;
    const ratio = window.devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const from = Math.max(0, Math.floor(scrollTop / row));
    const to = Math.min(this.#rows.length, Math.ceil((scrollTop + height - head) / row));
    const left = Math.max(0, Math.floor(scrollLeft / column));
    const right = Math.min(this.#columns.length, Math.ceil((scrollLeft + width - gutter) / column));
    const now = performance.now();
    let glowing = false;

    context.save();
    context.beginPath();
    context.rect(0, head, width, height - head);
    context.clip();
    const lit = this.#lit();
    if (lit !== null) {
      context.fillStyle = colours.hover;
      context.fillRect(0, head + lit.row * row - scrollTop, width, Math.max(row, 2));
    }
    context.save();
    context.beginPath();
    context.rect(gutter, head, width - gutter, height - head);
    context.clip();
    const gap = row >= 8 ? Math.min(2, row / 8) : row >= 4 ? 0.5 : 0;
    for (let at = from; at < to; at += 1) {
      const { student, ran } = this.#rows[at];
      const y = head + at * row - scrollTop;
      const glow = ran !== null && now - ran.at < GLOW && !STILL.matches ? 1 - (now - ran.at) / GLOW : 0;
      for (let place = left; place < right; place += 1) {
        const { cell, name } = this.#columns[place];
        const x = gutter + place * column - scrollLeft;
        const box = [x + 1, y + gap, column - 2, row - 2 * gap];
        drawOutcome(context, colours, outcome(student.cells.get(name)), box);
        if (row >= NAMED && student.cellId === cell.cellId && student.notebookPath === cell.notebookPath) {
          outline(context, colours.ink, box, 1.5);
        }
        if (glow > 0 && ran.cell === cell) {
          glowing = true;
          context.globalAlpha = glow;
          outline(context, colours.accent, box, row >= NAMED ? 3 : 1);
          context.globalAlpha = 1;
        }
      }
    }
    context.restore();
    this.#drawNames(context, from, to);
    context.restore();
    this.#drawHead(context, left, right);
    this.#drawCursor(context);
    if (glowing) this.invalidate();
  }

  #drawNames(context, from, to) {
    const { rem, head, gutter, row } = this.#measures;
    const colours = this.#colours;
    const { scrollTop } = this.element;
    context.textBaseline = "middle";
    context.direction = "ltr";
    context.font = this.#font(0.8125);
    for (let at = from; at < to; at += 1) {
      const { student, status } = this.#rows[at];
      const y = head + at * row - scrollTop;
      context.fillStyle = colours[status];
      if (row < NAMED) {
        context.fillRect(gutter - 0.75 * rem, y, 0.5 * rem, Math.max(1, row - (row >= 4 ? 1 : 0)));
        continue;
      }
      drawMark(context, status, 0.6 * rem, y + row / 2, 0.26 * rem);
      context.fillStyle = status === "idle" ? colours["ink-3"] : colours.ink;
      context.fillText(this.#fit(context, studentName(student), gutter - 1.75 * rem), 1.25 * rem, y + row / 2 + 0.5);
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
    const { head, gutter, row, column } = this.#measures;
    if (this.#cursor === null || document.activeElement !== this.element) return;
    const x = gutter + this.#cursor.column * column - this.element.scrollLeft;
    const y = head + this.#cursor.row * row - this.element.scrollTop;
    outline(context, this.#colours.accent, [x, y, column, Math.max(row, 4)], 2.5);
  }

  #font(size) {
    return `${size * this.#measures.rem}px ${getComputedStyle(this.element).fontFamily}`;
  }

  /** A name as far as it fits, isolated so that its direction of writing turns nothing else around. */
  #fit(context, name, width) {
    let text = this.#fitted.get(name);
    if (text === undefined) {
      const characters = [...name.slice(0, 80)];
      const isolated = (count) => `\u2068${characters.slice(0, count).join("")}${count < characters.length ? "…" : ""}\u2069`;
      let [low, high] = [0, characters.length];
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if (context.measureText(isolated(middle)).width <= width) low = middle;
        else high = middle - 1;
      }
      text = isolated(low);
      if (this.#fitted.size > 5000) this.#fitted.clear();
      this.#fitted.set(name, text);
    }
    return text;
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

function readColours(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** Outcomes differ by shape as well: a failure is crossed, a mended cell has a notch, what was not run is a dot. */
function drawOutcome(context, colours, name, [x, y, width, height]) {
  if (name === "none") {
    if (height < 6) return;
    context.fillStyle = colours.none;
    const size = Math.min(3, height / 4);
    context.fillRect(x + width / 2 - size / 2, y + height / 2 - size / 2, size, size);
    return;
  }
  context.fillStyle = colours[name === "mended" ? "ok" : name];
  const radius = Math.min(3, height / 4);
  context.beginPath();
  context.roundRect(x, y, width, Math.max(height, 1), radius);
  context.fill();
  if (height < 8) return;
  const size = Math.min(width, height) * 0.22;
  const [cx, cy] = [x + width / 2, y + height / 2];
  context.strokeStyle = colours.surface;
  context.fillStyle = colours.surface;
  context.lineWidth = Math.max(1.25, size / 3);
  context.beginPath();
  if (name === "failed") {
    context.moveTo(cx - size, cy - size);
    context.lineTo(cx + size, cy + size);
    context.moveTo(cx + size, cy - size);
    context.lineTo(cx - size, cy + size);
    context.stroke();
  } else if (name === "mended") {
    context.arc(cx, cy, size * 0.62, 0, 2 * Math.PI);
    context.fill();
  }
}

function outline(context, colour, [x, y, width, height], thick) {
  context.strokeStyle = colour;
  context.lineWidth = thick;
  context.beginPath();
  context.roundRect(x + thick / 2 - 1, y + thick / 2 - 1, width - thick + 2, height - thick + 2, Math.min(4, height / 3));
  context.stroke();
}

/** A status beside a name: a diamond, a square, a triangle, a disc, a ring. */
function drawMark(context, status, x, y, size) {
  context.beginPath();
  const corners = {
    help: [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]],
    stuck: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
    error: [[0, -1.1], [1.15, 0.95], [-1.15, 0.95]],
  }[status];
  if (corners !== undefined) {
    corners.forEach(([dx, dy]) => context.lineTo(x + dx * size, y + dy * size));
    context.fill();
  } else if (status === "active") {
    context.arc(x, y, size * 0.85, 0, 2 * Math.PI);
    context.fill();
  } else {
    context.strokeStyle = context.fillStyle;
    context.lineWidth = 1.25;
    context.arc(x, y, size * 0.75, 0, 2 * Math.PI);
    context.stroke();
  }
}
