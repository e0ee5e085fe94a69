// The shapes of the grid's canvas. Shapes of one colour are one path: a thousand cells take a
// handful of strokes.

/**
 * @import { Status } from "../student.js"
 * @import { Outcome } from "./grid-model.js"
 */

/** @typedef {[x: number, y: number, width: number, height: number]} Box */

/** @type {readonly Outcome[]} */
const OUTCOMES = ["ok", "mended", "failed", "none"];
/** The colours that are drawn with, and their custom properties. */
const COLOURS = {
  ink: "--ink",
  inkSoft: "--ink-soft",
  inkFaint: "--ink-faint",
  line: "--line",
  lineStrong: "--line-strong",
  surface: "--surface",
  hover: "--hover",
  accent: "--accent",
  ok: "--outcome-ok",
  failed: "--outcome-failed",
  none: "--outcome-none",
  help: "--status-help",
  stuck: "--status-stuck",
  error: "--status-error",
  active: "--status-active",
  idle: "--status-idle",
};
/** Below this height, in pixels, a cell is a bar: it is neither rounded nor marked. */
const MARKED = 8;
/** The least width of a cross, in pixels. */
const CROSS = 1.25;
/** Names whose fitted text is kept at most. */
const MAX_NAMES = 5_000;
/** The most UTF-16 units of a name that are looked at. */
const MAX_NAME = 80;

/** @typedef {Record<keyof typeof COLOURS, string>} Colours */

/**
 * The page's colours, as the chosen theme has them. A canvas knows no custom properties, so each is
 * resolved as the colour of the canvas element itself.
 *
 * @param {HTMLCanvasElement} canvas
 */
export function readColours(canvas) {
  const colours = Object.entries(COLOURS).map(([name, property]) => {
    canvas.style.color = `var(${property})`;
    return [name, getComputedStyle(canvas).color];
  });
  canvas.style.color = "";
  return /** @type {Colours} */ (Object.fromEntries(colours));
}

/**
 * Cells that are drawn together. Outcomes differ by shape as well as by colour: a failure is
 * crossed, a mended cell has a hole, a cell that was not run is a dot.
 */
export class Cells {
  /** @type {Record<Outcome, Path2D>} */
  #boxes = { ok: new Path2D(), mended: new Path2D(), failed: new Path2D(), none: new Path2D() };
  #crosses = new Path2D();
  #holes = new Path2D();
  #crossWidth = CROSS;

  /**
   * @param {Outcome} outcome
   * @param {Box} box
   */
  add(outcome, [x, y, width, height]) {
    const path = this.#boxes[outcome];
    const [cx, cy] = [x + width / 2, y + height / 2];
    if (outcome === "none") {
      const size = Math.min(3, height / 4);
      if (height >= MARKED) path.rect(cx - size / 2, cy - size / 2, size, size);
      return;
    }
    if (height < MARKED) {
      path.rect(x, y, width, height);
      return;
    }
    path.roundRect(x, y, width, height, Math.min(3, height / 4));
    const size = Math.min(width, height) * 0.22;
    this.#crossWidth = Math.max(CROSS, size / 3);
    if (outcome === "failed") {
      this.#crosses.moveTo(cx - size, cy - size);
      this.#crosses.lineTo(cx + size, cy + size);
      this.#crosses.moveTo(cx + size, cy - size);
      this.#crosses.lineTo(cx - size, cy + size);
    } else if (outcome === "mended") {
      this.#holes.moveTo(cx + size * 0.62, cy);
      this.#holes.arc(cx, cy, size * 0.62, 0, 2 * Math.PI);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Colours} colours
   */
  draw(context, colours) {
    for (const outcome of OUTCOMES) {
      context.fillStyle = colours[outcome === "mended" ? "ok" : outcome];
      context.fill(this.#boxes[outcome]);
    }
    context.fillStyle = colours.surface;
    context.fill(this.#holes);
    context.strokeStyle = colours.surface;
    context.lineWidth = this.#crossWidth;
    context.stroke(this.#crosses);
  }
}

/**
 * Draws a line around a box, which it exceeds by a pixel at most.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {string} colour
 * @param {Box} box
 * @param {number} thickness
 */
export function drawOutline(context, colour, [x, y, width, height], thickness) {
  const inset = thickness / 2 - 1;
  const [inner, tall] = [width - 2 * inset, height - 2 * inset];
  context.strokeStyle = colour;
  context.lineWidth = thickness;
  context.beginPath();
  context.roundRect(x + inset, y + inset, inner, tall, Math.min(4, height / 3));
  context.stroke();
}

/**
 * The corners of a status's mark, as multiples of its size. Statuses without corners are round.
 *
 * @type {{ [name in Status]?: [number, number][] }}
 */
const CORNERS = {
  help: [
    [0, -1.2],
    [1.2, 0],
    [0, 1.2],
    [-1.2, 0],
  ],
  stuck: [
    [-1, -1],
    [1, -1],
    [1, 1],
    [-1, 1],
  ],
  error: [
    [0, -1.1],
    [1.15, 0.95],
    [-1.15, 0.95],
  ],
};

/**
 * Draws a status: a diamond, a square, a triangle, a disc or a ring.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {string} colour
 * @param {Status} status
 * @param {[x: number, y: number]} centre
 * @param {number} size
 */
export function drawMark(context, colour, status, [x, y], size) {
  const corners = CORNERS[status];
  context.fillStyle = colour;
  context.beginPath();
  if (corners !== undefined) {
    for (const [dx, dy] of corners) context.lineTo(x + dx * size, y + dy * size);
    context.fill();
  } else if (status === "active") {
    context.arc(x, y, size * 0.85, 0, 2 * Math.PI);
    context.fill();
  } else {
    context.strokeStyle = colour;
    context.lineWidth = 1.25;
    context.arc(x, y, size * 0.75, 0, 2 * Math.PI);
    context.stroke();
  }
}

/**
 * Names in type of one size, shortened to the width that there is. Each is isolated, so that its
 * direction of writing does not change that of the text around it.
 */
export class FittedNames {
  /** @type {Map<string, string>} */
  #fitted = new Map();

  clear() {
    this.#fitted.clear();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {string} name
   * @param {number} width
   */
  fit(context, name, width) {
    const key = `${Math.floor(width)} ${name}`;
    const known = this.#fitted.get(key);
    if (known !== undefined) return known;
    const characters = [...name.slice(0, MAX_NAME)];
    /** @param {number} count */
    const shortened = (count) =>
      `\u2068${characters.slice(0, count).join("")}${count < characters.length ? "…" : ""}\u2069`;
    let [low, high] = [0, characters.length];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (context.measureText(shortened(middle)).width <= width) low = middle;
      else high = middle - 1;
    }
    const text = shortened(low);
    if (this.#fitted.size >= MAX_NAMES) this.#fitted.clear();
    this.#fitted.set(key, text);
    return text;
  }
}
