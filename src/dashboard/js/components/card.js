// The frame around a view of the board, and what stands in it when there is nothing to show.

import { h } from "../dom.js";
import { icon } from "../icons.js";

/** @import { Child } from "../dom.js" */

/**
 * A card with a heading, a count beside it, and room for controls.
 *
 * @param {string} name its id, and the beginning of its class
 * @param {string} heading
 * @param {Child[]} controls
 */
export function card(name, heading, ...controls) {
  const count = h("span", { class: "card-count" });
  const body = h("div", { class: "card-body" });
  const element = h(
    "section",
    { class: `card ${name}-card`, id: name, "aria-labelledby": `${name}-heading` },
    h(
      "header",
      { class: "card-header" },
      h("h2", { id: `${name}-heading` }, heading),
      count,
      h("div", { class: "card-controls" }, controls),
    ),
    body,
  );
  return { element, body, count };
}

/**
 * Stands in a card that has nothing to show. Good news look like good news.
 *
 * @param {string} text
 * @param {{ hint?: string, good?: boolean }} [options]
 */
export function emptyState(text, { hint, good = false } = {}) {
  const message = h("p", {}, text);
  const more = h("p", { class: "hint" }, hint);
  const element = h(
    "div",
    { class: "empty-state" },
    good ? icon("active") : null,
    message,
    hint === undefined ? null : more,
  );
  return { element, message, hint: more };
}
