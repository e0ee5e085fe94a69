// What the connection is doing: a word that is always there, and a sentence when something is wrong.

import { h, setText, show } from "../dom.js";

export function connectionBadge({ t }) {
  const text = h("span", { role: "status" });
  const element = h("div", { class: "connection", title: t.connection.label }, h("span", { class: "lamp", "aria-hidden": "true" }), text);
  return {
    element,
    update(state) {
      element.dataset.state = state.name;
      setText(text, state.name === "offline" ? t.connection.offline(since(state, t)) : t.connection[state.name]);
    },
  };
}

/** When the picture stopped being current; the machine's own clock is what the instructor looks at. */
function since(state, t) {
  return state.since === null ? null : t.clockMinute(state.since * 1000);
}

export function connectionBanner({ t, retry }) {
  const text = h("span");
  const next = h("span", { class: "next" });
  const button = h("button", { type: "button", class: "action", on: { click: retry } }, t.connection.retry);
  const element = h("div", { class: "banner", hidden: true }, h("p", {}, text, " ", next), button);
  return {
    element,
    update(state) {
      const shown = ["offline", "resynchronising", "refused"].includes(state.name);
      show(element, shown);
      element.dataset.state = state.name;
      if (!shown) return;
      setText(text, explain(state, t));
      show(button, state.retryAt !== null);
      this.tick(state);
    },
    tick(state) {
      if (state.retryAt === null) return setText(next, "");
      const seconds = Math.ceil((state.retryAt - Date.now()) / 1000);
      return setText(next, seconds > 0 ? t.connection.retryIn(seconds) : t.connection.retrying);
    },
  };
}

function explain(state, t) {
  if (state.name === "refused") return t.connection.refusedWhy(state.reason);
  if (state.name === "resynchronising") return t.connection.resync;
  if (state.since === null) return state.reason === null ? t.connection.unreached : `${t.connection.unreached} (${state.reason})`;
  return t.connection.asOf(since(state, t));
}
