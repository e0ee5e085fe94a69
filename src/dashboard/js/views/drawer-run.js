// A run of a student, the latest one unless another was chosen: the code, its result or error.

import { terminalText } from "../components/terminal.js";
import { h, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { errorLine, withoutAnsi } from "../names.js";

/**
 * @import { Text } from "../i18n.js"
 * @import { DeliveredEvent } from "../normalize.js"
 * @import { Page } from "./list.js"
 */

/** The most characters of one text. A longer one would make the page slow. */
const MAX_CHARS = 20_000;

export class LatestRun {
  element;
  #t;
  #none;
  #body;
  #time = h("span", { class: "run-time" });
  #what = h("span");
  #back;
  #code;
  #error;
  #result;
  /** @type {DeliveredEvent | null} */
  #shown = null;
  /** @type {DeliveredEvent | null} */
  #latest = null;
  /** Whether a run was chosen, so that a newer one does not replace it. */
  #isChosen = false;

  /** @param {Page} page */
  constructor({ t }) {
    this.#t = t;
    this.#none = h("p", { class: "note" }, t.drawer.noRun);
    const back = { type: "button", class: "text-button", hidden: true };
    this.#back = h("button", { ...back, on: { click: () => this.#release() } }, t.drawer.latest);
    const heading = h("h3", {}, this.#what, this.#back, this.#time);
    this.#code = new RunText("run-code", heading, t);
    this.#error = new RunText("run-error", h("h3", {}, t.drawer.error), t);
    this.#result = new RunText("run-result", h("h3", {}, t.drawer.result), t);
    const texts = [this.#code, this.#error, this.#result].map((text) => text.element);
    this.#body = h("div", { hidden: true }, texts);
    const properties = { class: "latest-run", "aria-label": t.drawer.code };
    this.element = h("section", properties, this.#none, this.#body);
  }

  /** @param {DeliveredEvent} event the newest run */
  update(event) {
    this.#latest = event;
    if (!this.#isChosen) this.#show(event, this.#t.drawer.code);
  }

  /**
   * Shows a run that was chosen, until the latest one is asked for.
   *
   * @param {DeliveredEvent} event
   * @param {string} label what it is a run of
   */
  choose(event, label) {
    this.#isChosen = true;
    this.#show(event, label);
  }

  #release() {
    this.#isChosen = false;
    if (this.#latest !== null) this.#show(this.#latest, this.#t.drawer.code);
  }

  /**
   * @param {DeliveredEvent} event
   * @param {string} label
   */
  #show(event, label) {
    setText(this.#what, label);
    show(this.#back, this.#isChosen);
    this.element.classList.toggle("is-chosen", this.#isChosen);
    if (event === this.#shown) return;
    this.#shown = event;
    show(this.#none, false);
    show(this.#body, true);
    const truncated = Array.isArray(event.truncated) ? event.truncated : [];
    const failed = event.hasError === true;
    this.#code.show(event.code, { truncated: truncated.includes("code"), coloured: false });
    // Some clients send the error, or the whole traceback, as the result. The result then says more
    // than the error's message, and is shown in its place.
    const { result } = event;
    const message = errorLine(event.errorMessage);
    const isError = failed && typeof result === "string" && withoutAnsi(result).includes(message);
    const error = isError ? "result" : "errorMessage";
    const [errorText, resultText] = [failed ? event[error] : "", isError ? "" : result];
    this.#error.show(errorText, { truncated: truncated.includes(error), coloured: true });
    this.#result.show(resultText, { truncated: truncated.includes("result"), coloured: true });
    const time = this.#t.clock(Date.parse(event.receivedAt) * 1000);
    this.#time.replaceChildren(icon(failed ? "error" : "active"), time);
    this.#time.classList.toggle("is-failed", failed);
  }
}

/** A text of a run under its heading. */
class RunText {
  element;
  #t;
  #pre;
  #cut = h("p", { class: "note" });

  /**
   * @param {string} name a class
   * @param {HTMLElement} heading
   * @param {Text} t
   */
  constructor(name, heading, t) {
    this.#t = t;
    this.#pre = h("pre", { class: `run-text ${name}`, tabindex: "0" });
    this.element = h("div", { class: "run-part" }, heading, h("div", {}, this.#pre, this.#cut));
  }

  /**
   * @param {unknown} value as the client wrote it
   * @param {{ truncated: boolean, coloured: boolean }} options
   */
  show(value, { truncated, coloured }) {
    const t = this.#t;
    const whole = toText(value);
    const head = whole.slice(0, MAX_CHARS);
    this.#pre.replaceChildren(...(coloured ? terminalText(head) : [head]));
    setText(this.#cut, truncated ? t.drawer.cutByRelay : t.drawer.cut(MAX_CHARS));
    show(this.#cut, truncated || whole.length > MAX_CHARS);
    show(this.element, whole !== "");
  }
}

/** @param {unknown} value */
function toText(value) {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value, null, 2);
}
