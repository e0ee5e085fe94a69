// The dialog in which an instructor changes a class's settings. What is saved comes back as an
// event, from which every page of the class takes it.

import { ApiError, api } from "../api.js";
import { h, setAttribute, setText, show } from "../dom.js";
import { matchingPart, thresholdsPart } from "./class-settings-counting.js";
import { outlinePart } from "./class-settings-outline.js";
import { rosterPart } from "./class-settings-roster.js";

/**
 * @import { StoredSettings } from "../api.js"
 * @import { Page } from "./list.js"
 */

/** The relay's word for settings that are not those that were read. */
const CHANGED = 412;
const INVALID = 422;

/**
 * A part of the dialog, which holds some members of the settings. `say` tells what the relay has
 * against one of them.
 *
 * @typedef {object} SettingsPart
 * @property {HTMLElement} element
 * @property {string[]} members
 * @property {(settings: StoredSettings["settings"]) => void} show
 * @property {() => StoredSettings["settings"] | null} read what is to be saved; an absent member is
 *   `undefined`; `null` while the part has errors
 * @property {(problem: string) => void} say
 * @property {(files: File[]) => Promise<void>} [take] takes files that were dropped
 */

/** @param {Page} page */
export function settingsDialog(page) {
  const { t } = page;
  const dialog = { class: "page-dialog settings-dialog", "aria-label": t.classSettings.heading };
  const element = h("dialog", dialog);
  /** @type {SettingsPanel | null} */
  let panel = null;
  return {
    element,
    open,
    /**
     * Takes files that were dropped anywhere on the page.
     *
     * @param {File[]} files
     */
    async take(files) {
      if (!element.open) await open();
      await panel?.take(files);
    },
  };

  async function open() {
    const opened = new SettingsPanel(page, () => {
      // What was saved late must not close a dialog that was opened since.
      if (panel === opened) element.close();
    });
    panel = opened;
    element.replaceChildren(opened.element);
    element.showModal();
    await opened.load();
  }
}

class SettingsPanel {
  element;
  #page;
  #close;
  #parts;
  #fields;
  #note = h("p", { class: "hint", role: "status" });
  #failed = h("p", { class: "dialog-error", role: "alert", hidden: true });
  #takeTheirs;
  #save;
  /** @type {StoredSettings | null} */
  #stored = null;

  /**
   * @param {Page} page
   * @param {() => void} close
   */
  constructor(page, close) {
    this.#page = page;
    this.#close = close;
    const { t } = page;
    this.#parts = [rosterPart(page), outlinePart(page), matchingPart(page), thresholdsPart(page)];
    this.#fields = h("div", { class: "settings-parts", hidden: true });
    this.#fields.append(...this.#parts.map((part) => part.element));
    this.#save = h("button", { class: "primary-button" }, t.classSettings.save);
    const takeTheirs = { type: "button", class: "secondary-button take-theirs", hidden: true };
    this.#takeTheirs = h("button", { ...takeTheirs, on: { click: () => this.load() } });
    setText(this.#takeTheirs, t.classSettings.takeTheirs);
    const cancel = { type: "button", class: "text-button", on: { click: close } };
    this.element = h(
      "form",
      { novalidate: true },
      h("h2", { tabindex: "-1", autofocus: true }, t.classSettings.heading),
      this.#note,
      this.#fields,
      h(
        "footer",
        { class: "settings-footer" },
        this.#failed,
        h(
          "div",
          { class: "dialog-buttons" },
          this.#save,
          this.#takeTheirs,
          h("button", cancel, t.classSettings.cancel),
        ),
      ),
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#put();
    });
  }

  /** Shows the settings as they are stored. */
  async load() {
    const { classId, t } = this.#page;
    setText(this.#note, t.classSettings.loading);
    this.#fail("");
    show(this.#takeTheirs, false);
    try {
      this.#stored = await api.settings(classId);
      for (const part of this.#parts) part.show(this.#stored.settings);
      setText(this.#note, t.classSettings.hint);
    } catch {
      setText(this.#note, t.classSettings.unread);
    }
    show(this.#fields, this.#stored !== null);
    show(this.#save, this.#stored !== null);
  }

  /**
   * Takes files: notebooks for the outline, and anything else for the roster.
   *
   * @param {File[]} files
   */
  async take(files) {
    if (this.#stored === null) return;
    const isNotebook = (/** @type {File} */ { name }) => name.toLowerCase().endsWith(".ipynb");
    const notebooks = files.filter(isNotebook);
    const others = files.filter((file) => !isNotebook(file));
    for (const [member, taken] of /** @type {const} */ ([
      ["outline", notebooks],
      ["roster", others],
    ])) {
      const part = this.#parts.find(({ members }) => members.includes(member));
      if (part === undefined || taken.length === 0) continue;
      part.element.scrollIntoView({ block: "nearest" });
      await part.take?.(taken);
    }
  }

  async #put() {
    const { classId, t } = this.#page;
    if (this.#stored === null || this.#save.ariaDisabled === "true") return;
    for (const part of this.#parts) part.say("");
    this.#fail("");
    const read = this.#parts.map((part) => part.read());
    const wrong = read.indexOf(null);
    if (wrong >= 0) {
      this.#fail(t.classSettings.wrong);
      this.#parts[wrong].element.scrollIntoView({ block: "nearest" });
      return;
    }
    // Members that this page does not know stay as they are.
    const settings = Object.assign({}, this.#stored.settings, ...read);
    setAttribute(this.#save, "aria-disabled", "true");
    setText(this.#save, t.classSettings.saving);
    try {
      await api.changeSettings(classId, { settings, version: this.#stored.version });
      this.#close();
    } catch (error) {
      this.#explain(error);
    }
    setAttribute(this.#save, "aria-disabled", null);
    setText(this.#save, t.classSettings.save);
  }

  /** @param {unknown} error why nothing was saved */
  #explain(error) {
    const { t } = this.#page;
    const status = error instanceof ApiError ? error.status : 0;
    if (status === CHANGED) {
      show(this.#takeTheirs, true);
      this.#fail(t.classSettings.conflict);
      return;
    }
    const isSignedOut = error instanceof ApiError && error.login !== null;
    this.#fail(isSignedOut ? t.classSettings.signedOut : t.classSettings.failed);
    if (status !== INVALID || !(error instanceof ApiError)) return;
    // The relay names the member first, and then what it has against it.
    const [, member, name, reason] = /^((\w+)\S*) (.*)$/s.exec(error.message) ?? [];
    const part = this.#parts.find(({ members }) => members.includes(name));
    const problem = reason === undefined ? error.message : t.classSettings.inMember(member, reason);
    if (part === undefined) this.#fail(problem);
    else part.say(problem);
    part?.element.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} problem `""` if there is none */
  #fail(problem) {
    setText(this.#failed, problem);
    show(this.#failed, problem !== "");
  }
}
