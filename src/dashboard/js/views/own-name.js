// How the other instructors call this one. Where people sign in, the relay knows; elsewhere the
// page asks once, when it is first needed, and the header says the name and changes it.

import { h, setAttribute, setText, show } from "../dom.js";

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
 * Asks for the name, whether it is known or not. Ends when the dialog is closed.
 *
 * @param {Page} page
 * @param {HTMLElement} parent holds the dialog while it asks
 * @param {{ act: string, required?: boolean }} options `act`: what the name is given for
 */
async function askName({ preferences, t }, parent, { act, required = false }) {
  const input = h("input", {
    type: "text",
    id: "own-name",
    autocomplete: "name",
    required,
    maxlength: MAX_NAME,
  });
  input.value = preferences.get("ownName");
  const cancel = { type: "button", class: "text-button", on: { click: () => element.close() } };
  const form = h(
    "form",
    { method: "dialog" },
    h("label", { for: "own-name" }, t.help.ownName),
    input,
    h(
      "div",
      { class: "dialog-buttons" },
      h("button", { class: "primary-button" }, act),
      h("button", cancel, t.help.cancel),
    ),
  );
  const element = h("dialog", { class: "page-dialog", "aria-label": t.help.ownName }, form);
  form.addEventListener("submit", () => preferences.set("ownName", input.value.trim()));
  parent.append(element);
  element.showModal();
  await new Promise((done) => element.addEventListener("close", done, { once: true }));
  element.remove();
}

/**
 * @param {Page} page
 * @param {HTMLElement} parent holds the dialog while it asks
 * @returns {OwnName}
 */
export function nameDialog(page, parent) {
  const known = () => ownName(page);
  return {
    known,
    async ask() {
      if (known() === "") {
        await askName(page, parent, { act: page.t.help.claim, required: true });
      }
      return known();
    },
  };
}

/**
 * Says the name in the header, beside those of the others, and changes it. Where people sign in the
 * relay knows the name, and there is nothing to change.
 *
 * @param {Page} page
 */
export function ownNameControl(page) {
  const { me, preferences, t } = page;
  const click = async () => {
    await askName(page, element, { act: t.presence.save });
    button.focus();
  };
  const button = h("button", { type: "button", class: "text-button", on: { click } });
  const element = h("div", { class: "own-name", hidden: true }, button);
  return {
    element,
    update() {
      const name = preferences.get("ownName");
      setText(button, name === "" ? t.presence.unnamed : t.presence.own(name));
      setAttribute(button, "title", name === "" ? t.presence.why : t.presence.change);
      show(element, me.hasAnswered && me.caller === null);
    },
  };
}
