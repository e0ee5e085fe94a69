// How the other instructors call this one. Where people sign in, the relay knows; elsewhere the
// page asks once, when it is first needed.

import { h } from "../dom.js";

/** @import { Page } from "./list.js" */

/** The longest name, in characters: the relay takes 200 bytes. */
const MAX_NAME = 50;

/**
 * `known`: the name as far as it is known, or else `""`. `ask` asks for it if it is not.
 *
 * @typedef {{ known: () => string, ask: () => Promise<string> }} OwnName
 */

/**
 * The name of this instructor as far as it is known, or else `""`.
 *
 * @param {Pick<Page, "me" | "preferences">} page
 */
export function ownName({ me, preferences }) {
  return me.caller?.name ?? me.caller?.subject ?? preferences.get("ownName");
}

/**
 * @param {Page} page
 * @param {HTMLElement} parent holds the dialog while it asks
 * @returns {OwnName}
 */
export function nameDialog(page, parent) {
  const { preferences, t } = page;
  const input = h("input", {
    type: "text",
    id: "own-name",
    autocomplete: "name",
    required: true,
    maxlength: MAX_NAME,
  });
  const cancel = { type: "button", class: "text-button", on: { click: () => element.close() } };
  const form = h(
    "form",
    { method: "dialog" },
    h("label", { for: "own-name" }, t.help.ownName),
    input,
    h(
      "div",
      { class: "dialog-buttons" },
      h("button", { class: "primary-button" }, t.help.claim),
      h("button", cancel, t.help.cancel),
    ),
  );
  const element = h("dialog", { class: "page-dialog", "aria-label": t.help.ownName }, form);
  form.addEventListener("submit", () => preferences.set("ownName", input.value.trim()));

  const known = () => ownName(page);
  return {
    known,
    async ask() {
      if (known() === "") {
        parent.append(element);
        element.showModal();
        await new Promise((done) => element.addEventListener("close", done, { once: true }));
        element.remove();
      }
      return known();
    },
  };
}
