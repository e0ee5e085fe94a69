// A student's latest run: the code, and what came of it.

import { h, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { errorLine, withoutAnsi } from "../names.js";
import { statusMark } from "./common.js";
import { terminalText } from "./terminal.js";

/** More than this of one text is not shown: it would take the page's breath away. */
const MOST = 20_000;

/** The status and place under a student's name. */
export function nameMark(element, row, place, t) {
  if (element.dataset.status !== row.status) {
    element.dataset.status = row.status;
    element.replaceChildren(statusMark(row.status, t), h("span", { class: "drawer-place" }));
  }
  setText(element.lastChild, `${t.status[row.status]} · ${place}`);
}

export function latestRun({ t }) {
  const none = h("p", { class: "note" }, t.drawer.noRun);
  const when = h("span", { class: "since" });
  const code = text("code");
  const result = text("result");
  const error = text("error");
  const body = h("div", { hidden: true }, block(t.drawer.code, code, when), block(t.drawer.error, error), block(t.drawer.result, result));
  const element = h("section", { class: "latest", "aria-label": t.drawer.code }, none, body);
  let shown = null;

  function block(label, { element: content }, ...beside) {
    return h("div", { class: "block" }, h("h3", {}, label, ...beside), content);
  }

  function text(name) {
    const pre = h("pre", { class: `text ${name}`, tabindex: "0" });
    const cut = h("p", { class: "note" });
    const container = h("div", {}, pre, cut);
    return {
      element: container,
      show(value, truncated, coloured) {
        const whole = typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value, null, 2);
        const head = whole.slice(0, MOST);
        pre.replaceChildren(...(coloured ? terminalText(head) : [head]));
        setText(cut, truncated ? t.drawer.cutByRelay : t.drawer.cut(MOST));
        show(cut, truncated || whole.length > MOST);
        show(container.parentElement, whole !== "");
      },
    };
  }

  return {
    element,
    /** `event`: the newest run as it was delivered. */
    update(event) {
      if (event === shown) return;
      shown = event;
      const cut = Array.isArray(event.truncated) ? event.truncated : [];
      const failed = event.hasError === true;
      show(none, false);
      show(body, true);
      code.show(event.code, cut.includes("code"), false);
      // Some clients send the error, or the whole traceback, as the result: then it is what there is to read of the error.
      const told = failed && typeof event.result === "string" && withoutAnsi(event.result).includes(errorLine(event.errorMessage));
      const name = told ? "result" : "errorMessage";
      error.show(failed ? event[name] : "", cut.includes(name), true);
      result.show(told ? "" : event.result, cut.includes("result"), true);
      when.replaceChildren(icon(failed ? "error" : "active"), t.clock(Date.parse(event.receivedAt) * 1000));
      when.classList.toggle("failed", failed);
    },
  };
}
