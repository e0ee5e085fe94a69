// A sentence across the page when it is not current.

import { h, setText, show } from "../dom.js";

/**
 * @import { ConnectionState } from "../connection.js"
 * @import { Text } from "../i18n.js"
 * @import { Page, View } from "./list.js"
 */

/** In these states the page says what is wrong. In the others the badge in the header suffices. */
const SHOWN = ["offline", "resynchronising", "refused"];

/**
 * @param {Page} page
 * @returns {View}
 */
export default function connectionBanner(page) {
  const { t } = page;
  const text = h("span");
  const nextAttempt = h("span", { class: "next-attempt" });
  const retry = { type: "button", class: "primary-button", on: { click: page.retry } };
  const button = h("button", retry, t.connection.retry);
  const element = h(
    "div",
    { class: "connection-banner", hidden: true },
    h("p", {}, text, " ", nextAttempt),
    button,
  );

  function draw() {
    const { name, retryAt } = page.connection;
    const shown = SHOWN.includes(name);
    show(element, shown);
    element.dataset.state = name;
    if (!shown) return;
    setText(text, explain(page.connection, t));
    show(button, retryAt !== null);
    drawNextAttempt();
  }

  function drawNextAttempt() {
    const { retryAt } = page.connection;
    const seconds = retryAt === null ? null : Math.ceil((retryAt - Date.now()) / 1000);
    if (seconds === null) setText(nextAttempt, "");
    else if (seconds > 0) setText(nextAttempt, t.connection.retryIn(seconds));
    else setText(nextAttempt, t.connection.retrying);
  }

  return {
    element,
    slot: "top",
    update(changes) {
      if (changes.all || changes.connection) draw();
      else if (changes.tick) drawNextAttempt();
    },
  };
}

/**
 * @param {ConnectionState} state
 * @param {Text} t
 */
function explain({ name, since, reason }, t) {
  if (name === "refused") return t.connection.refusedWhy(reason ?? "");
  if (name === "resynchronising") return t.connection.resync;
  if (since !== null) return t.connection.asOf(t.clockMinute(since * 1000));
  return reason === null ? t.connection.unreached : `${t.connection.unreached} (${reason})`;
}
