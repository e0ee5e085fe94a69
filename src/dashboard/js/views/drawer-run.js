// A student's latest run, or another one that was chosen: the code, and its result or error.

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
  #code;
  #error;
  #result;
  #heading = h("span");
  #latest;
  /** @type {DeliveredEvent | null} */
  #shown = null;

  /**
   * @param {Page} page
   * @param {() => void} showLatest goes back to the latest run
   */
  constructor({ t }, showLatest) {
    this.#t = t;
    const latest = { type: "button", class: "text-button show-latest", on: { click: showLatest } };
    this.#latest = h("button", latest, t.drawer.latest);
    this.#none = h("p", { class: "note" }, t.drawer.noRun);
    this.#code = new RunText("run-code", h("h3", {}, this.#heading, this.#time), t);
    this.#error = new RunText("run-error", h("h3", {}, t.drawer.error), t);
    this.#result = new RunText("run-result", h("h3", {}, t.drawer.result), t);
    const texts = [this.#code, this.#error, this.#result].map((text) => text.element);
    this.#body = h("div", { hidden: true }, this.#latest, texts);
    const properties = { class: "latest-run", "aria-label": t.drawer.code };
    this.element = h("section", properties, this.#none, this.#body);
  }

  /**
   * @param {DeliveredEvent | null} event
   * @param {boolean} isLatest
   */
  update(event, isLatest) {
    const t = this.#t;
    show(this.#none, event === null);
    show(this.#body, event !== null);
    if (event === null) {
      this.#shown = null;
      return;
    }
    setText(this.#heading, isLatest ? t.drawer.code : t.drawer.codeOfThen);
    show(this.#latest, !isLatest);
    this.element.classList.toggle("is-chosen", !isLatest);
    if (event === this.#shown) return;
    this.#shown = event;
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
