// What the page sees that the class's settings could mend, and the button that does it.

import { api } from "../api.js";
import { h, setAttribute, setText, show } from "../dom.js";
import { REMEDIES, suggestionFor } from "../suggestions.js";

/**
 * @import { Suggestion } from "../suggestions.js"
 * @import { Page, View } from "./list.js"
 */

/** How often the class is looked at, in milliseconds: it costs a walk over its cells. */
const PACE = 3_000;
/** The most suggestions that are remembered as not wanted. */
const MAX_DISMISSED = 50;

/**
 * @param {Page} page
 * @returns {View}
 */
export default function suggestion(page) {
  const { classId, preferences, store, t } = page;
  /** @type {Suggestion | null} */
  let shown = null;
  let lookedAt = -Infinity;
  const text = h("span");
  const failed = h("span", { class: "dialog-error", role: "alert", hidden: true });
  setText(failed, t.suggestions.failed);
  const apply = h("button", { type: "button", class: "primary-button", on: { click: change } });
  const dismiss = h("button", { type: "button", class: "text-button", on: { click: forget } });
  setText(dismiss, t.suggestions.dismiss);
  const element = h(
    "div",
    { class: "suggestion", role: "status", hidden: true },
    h("p", {}, text, " ", failed),
    h("div", { class: "dialog-buttons" }, apply, dismiss),
  );

  /** @param {Suggestion} name */
  const nameOf = (name) => `${name} ${classId}`;

  function look() {
    const found = page.lessonId === null ? suggestionFor(store.state) : null;
    const isWanted = found !== null && !preferences.get("dismissed").includes(nameOf(found));
    const wanted = isWanted ? found : null;
    if (wanted === shown) return;
    shown = wanted;
    if (shown !== null) {
      setText(text, t.suggestions.text[shown]);
      ready(false);
    }
    show(element, shown !== null);
  }

  /** @param {boolean} hasFailed */
  function ready(hasFailed) {
    if (shown !== null) setText(apply, t.suggestions.apply[shown]);
    setAttribute(apply, "aria-disabled", null);
    show(failed, hasFailed);
  }

  async function change() {
    if (shown === null || apply.ariaDisabled === "true") return;
    const remedy = REMEDIES[shown];
    setAttribute(apply, "aria-disabled", "true");
    setText(apply, t.suggestions.applying);
    show(failed, false);
    try {
      const { settings, version } = await api.settings(classId);
      const changed = { ...settings, ...remedy };
      // What comes of it is shown when the relay's own event says so.
      await api.changeSettings(classId, { settings: changed, version });
    } catch {
      ready(true);
    }
  }

  function forget() {
    if (shown === null) return;
    const others = preferences.get("dismissed").slice(1 - MAX_DISMISSED);
    preferences.set("dismissed", [...others, nameOf(shown)]);
    look();
  }

  return {
    element,
    slot: "top",
    updateCalmly(changes) {
      const now = performance.now();
      if (!changes.all && now - lookedAt < PACE) return;
      lookedAt = now;
      look();
    },
  };
}
