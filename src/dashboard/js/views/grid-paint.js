// How the grid's parts look on the canvas. Shapes of one colour are one path: a thousand cells are a handful of strokes.

const OUTCOMES = ["ok", "mended", "failed", "none"];
const COLOURS = ["ink", "ink-2", "ink-3", "line", "surface", "hover", "ok", "failed", "none", "accent", "help", "stuck", "error", "active", "idle"];
/** Below this height, in pixels, a cell is a bar: neither rounded nor marked. */
const MARKED = 8;

/** The page's colours as it has them now. */
export function readColours(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** Cells to be painted together. Outcomes differ by shape as well: a failure is crossed, a mended cell has a hole, what was
 * not run is a dot. */
export class Cells {
  #boxes = Object.fromEntries(OUTCOMES.map((name) => [name, new Path2D()]));
  #crosses = new Path2D();
  #holes = new Path2D();
  #thick = 1.25;

  add(name, x, y, width, height) {
    const box = this.#boxes[name];
    const [cx, cy] = [x + width / 2, y + height / 2];
    if (name === "none") {
      const size = Math.min(3, height / 4);
      if (height >= MARKED) box.rect(cx - size / 2, cy - size / 2, size, size);
      return;
    }
    if (height < MARKED) {
      box.rect(x, y, width, height);
      return;
    }
    box.roundRect(x, y, width, height, Math.min(3, height / 4));
    const size = Math.min(width, height) * 0.22;
    this.#thick = Math.max(1.25, size / 3);
    if (name === "failed") {
      this.#crosses.moveTo(cx - size, cy - size);
      this.#crosses.lineTo(cx + size, cy + size);
      this.#crosses.moveTo(cx + size, cy - size);
      this.#crosses.lineTo(cx - size, cy + size);
    } else if (name === "mended") {
      this.#holes.moveTo(cx + size * 0.62, cy);
      this.#holes.arc(cx, cy, size * 0.62, 0, 2 * Math.PI);
    }
  }

  paint(context, colours) {
    for (const name of OUTCOMES) {
      context.fillStyle = colours[name === "mended" ? "ok" : name];
      context.fill(this.#boxes[name]);
    }
    context.fillStyle = colours.surface;
    context.fill(this.#holes);
    context.strokeStyle = colours.surface;
    context.lineWidth = this.#thick;
    context.stroke(this.#crosses);
  }
}

/** A frame around a box, of which it takes no more than a pixel around. */
export function outline(context, colour, [x, y, width, height], thick) {
  context.strokeStyle = colour;
  context.lineWidth = thick;
  context.beginPath();
  context.roundRect(x + thick / 2 - 1, y + thick / 2 - 1, width - thick + 2, height - thick + 2, Math.min(4, height / 3));
  context.stroke();
}

const CORNERS = {
  help: [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]],
  stuck: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
  error: [[0, -1.1], [1.15, 0.95], [-1.15, 0.95]],
};

/** A status beside a name: a diamond, a square, a triangle, a disc, a ring. */
export function paintMark(context, colour, status, x, y, size) {
  context.fillStyle = colour;
  context.beginPath();
  if (status in CORNERS) {
    for (const [dx, dy] of CORNERS[status]) context.lineTo(x + dx * size, y + dy * size);
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

/** Names as far as they fit, isolated so that their direction of writing turns nothing else around. */
export class Names {
  #fitted = new Map();

  clear() {
    this.#fitted.clear();
  }

  fit(context, name, width) {
    let text = this.#fitted.get(name);
    if (text !== undefined) return text;
    const characters = [...name.slice(0, 80)];
    const isolated = (count) => `\u2068${characters.slice(0, count).join("")}${count < characters.length ? "…" : ""}\u2069`;
    let [low, high] = [0, characters.length];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (context.measureText(isolated(middle)).width <= width) low = middle;
      else high = middle - 1;
    }
    text = isolated(low);
    if (this.#fitted.size > 5_000) this.#fitted.clear();
    this.#fitted.set(name, text);
    return text;
  }
}
