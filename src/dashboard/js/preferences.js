// What was chosen for this page, remembered where the browser lets it.

import { browserLanguage } from "./i18n.js";

const KEY = "progress-relay";
const THEMES = ["auto", "light", "dark"];

export class Preferences {
  language = browserLanguage();
  theme = "auto";
  projector = false;
  gridSort = "attention";
  gridOverview = false;
  activityMinutes = 60;
  #changed;

  /** `changed(name)` is called after each change. */
  constructor(changed) {
    this.#changed = changed;
    try {
      const chosen = JSON.parse(localStorage.getItem(KEY) ?? "{}");
      for (const name of Object.keys(this)) if (typeof chosen[name] === typeof this[name]) this[name] = chosen[name];
    } catch {
      // Forbidden, or not what was written: the defaults are good enough.
    }
    this.#apply();
  }

  set(name, value) {
    this[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify({ ...this }));
    } catch {
      // Forbidden or full: it holds for as long as the page is open.
    }
    this.#apply();
    this.#changed(name);
  }

  nextTheme() {
    return THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length];
  }

  #apply() {
    const root = document.documentElement;
    root.lang = this.language;
    if (this.theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = this.theme;
    if (this.projector) root.dataset.projector = "";
    else delete root.dataset.projector;
  }
}
