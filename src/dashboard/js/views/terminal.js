// A text with a terminal's escape sequences, as Python's tracebacks have them: the colours are kept, as classes of the page's
// own; whatever else the sequences would do is dropped.

import { h } from "../dom.js";
import { withoutAnsi } from "../names.js";

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
/** More changes of colour than any traceback has. */
const MOST_SPANS = 2_000;
const SGR = /\x1b\[([\d;]*)m/g;

/** Nodes that show the text. */
export function terminalText(text) {
  const nodes = [];
  let [from, style] = [0, { colour: null, bold: false }];
  const add = (until) => {
    const piece = withoutAnsi(text.slice(from, until));
    if (piece === "") return;
    const names = [style.colour && `ansi-${style.colour}`, style.bold && "ansi-bold"].filter(Boolean);
    nodes.push(names.length > 0 ? h("span", { class: names.join(" ") }, piece) : piece);
  };
  for (const match of text.matchAll(SGR)) {
    if (nodes.length >= MOST_SPANS) break;
    add(match.index);
    from = match.index + match[0].length;
    style = restyle(style, match[1]);
  }
  add(text.length);
  return nodes;
}

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
    // 256 and 16 million colours: their numbers mean nothing else.
    else if (code === 38 || code === 48) at += codes[at + 1] === 2 ? 4 : 2;
  }
  return { colour, bold };
}
