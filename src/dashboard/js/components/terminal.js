// A text with a terminal's escape sequences, as Python's tracebacks have them. Colours and bold
// type become classes; all other sequences are dropped.

import { h } from "../dom.js";
import { withoutAnsi } from "../names.js";

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
/** More changes of colour than any traceback has. */
const MAX_SPANS = 2_000;
/** Select Graphic Rendition: the sequence that changes the style. */
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const SGR = /\x1b\[([\d;]*)m/g;

/** @typedef {{ colour: string | null, bold: boolean }} Style */

/**
 * The nodes that show a text.
 *
 * @param {string} text
 */
export function terminalText(text) {
  /** @type {(string | HTMLElement)[]} */
  const nodes = [];
  let from = 0;
  /** @type {Style} */
  let style = { colour: null, bold: false };
  /** @param {number} until */
  const add = (until) => {
    const piece = withoutAnsi(text.slice(from, until));
    if (piece === "") return;
    const names = [style.colour && `ansi-${style.colour}`, style.bold && "ansi-bold"];
    const classes = names.filter(Boolean).join(" ");
    nodes.push(classes === "" ? piece : h("span", { class: classes }, piece));
  };
  for (const match of text.matchAll(SGR)) {
    if (nodes.length >= MAX_SPANS) break;
    add(match.index);
    from = match.index + match[0].length;
    style = restyle(style, match[1]);
  }
  add(text.length);
  return nodes;
}

/**
 * @param {Style} style
 * @param {string} parameters numbers, with semicolons between them
 * @returns {Style}
 */
function restyle(style, parameters) {
  let { colour, bold } = style;
  const codes = parameters.split(";").map(Number);
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at];
    if (code === 0) [colour, bold] = [null, false];
    else if (code === 1) bold = true;
    else if (code === 22) bold = false;
    else if (code >= 30 && code <= 37) colour = COLOURS[code - 30];
    else if (code >= 90 && code <= 97) colour = COLOURS[code - 90];
    else if (code === 39) colour = null;
    // One of 256 or of 16 million colours: the numbers that follow belong to it.
    else if (code === 38 || code === 48) at += codes[at + 1] === 2 ? 4 : 2;
  }
  return { colour, bold };
}
