// The instructor's preferences. The browser stores them where it allows that.

import { answerOrders } from "./answers.js";
import { browserLanguage, languages } from "./i18n.js";

/**
 * @import { AnswerOrder } from "./answers.js"
 * @import { Choice } from "./focus.js"
 * @import { OrderName } from "./views/grid-model.js"
 */

const KEY = "progress-relay";
/** The most classes whose limits are remembered. */
const MAX_CLASSES = 50;

/** @typedef {"auto" | "light" | "dark"} Theme */

/** @type {readonly Theme[]} */
const THEMES = ["auto", "light", "dark"];

function defaults() {
  return {
    language: browserLanguage(),
    theme: /** @type {Theme} */ ("auto"),
    /** Large type for a projector. */
    projector: false,
    gridSort: /** @type {OrderName} */ ("attention"),
    /** Whether the grid shows every student at once. */
    gridOverview: false,
    activityMinutes: 60,
    /** How the other instructors call this one, where nobody signs in. */
    ownName: "",
    /** Suggestions that are not wanted again, each with its class. */
    dismissed: /** @type {string[]} */ ([]),
    /** Whether a hand that goes up is heard, and whether it is shown beside other programs. */
    handSound: false,
    handNotification: false,
    /** Whether one cell of all students is shown with names, and its order. */
    answerNames: true,
    answerOrder: /** @type {AnswerOrder} */ ("number"),
    /** What the page is limited to, by class; the class that was chosen last comes last. */
    limits: /** @type {[classId: string, choice: Choice][]} */ ([]),
  };
}

/** @typedef {ReturnType<typeof defaults>} Choices */

/** The spans of the activity that can be chosen, in minutes. */
export const ACTIVITY_SPANS = [15, 60, 180];

/**
 * What may be chosen, where not every value of the type may.
 *
 * @type {Partial<Record<string, readonly unknown[]>>}
 */
const CHOICES = {
  language: languages.map(([code]) => code),
  theme: THEMES,
  activityMinutes: ACTIVITY_SPANS,
  answerOrder: answerOrders,
};

/**
 * What is stored, as far as it is of this version.
 *
 * @returns {Partial<Choices>}
 */
function readStored() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    const known = Object.entries(defaults()).filter(
      ([name, value]) =>
        typeof stored[name] === typeof value &&
        Array.isArray(stored[name]) === Array.isArray(value) &&
        (CHOICES[name]?.includes(stored[name]) ?? true),
    );
    return Object.fromEntries(known.map(([name]) => [name, stored[name]]));
  } catch {
    // Storage is forbidden or holds something else: the defaults are good enough.
    return {};
  }
}

export class Preferences {
  #choices = defaults();
  #changed;

  /** @param {(name: keyof Choices) => void} changed is called after each change */
  constructor(changed) {
    this.#changed = changed;
    Object.assign(this.#choices, readStored());
    this.#apply();
  }

  /**
   * @template {keyof Choices} Name
   * @param {Name} name
   */
  get(name) {
    return this.#choices[name];
  }

  /**
   * @template {keyof Choices} Name
   * @param {Name} name
   * @param {Choices[Name]} value
   */
  set(name, value) {
    this.#choices[name] = value;
    try {
      // What was chosen in another tab meanwhile stays.
      const all = { ...this.#choices, ...readStored(), [name]: value };
      localStorage.setItem(KEY, JSON.stringify(all));
    } catch {
      // Storage is forbidden or full: the choice holds for as long as the page is open.
    }
    this.#apply();
    this.#changed(name);
  }

  /**
   * What the page of a class was limited to.
   *
   * @param {string} classId
   * @returns {Partial<Choice>}
   */
  focusOf(classId) {
    const { limits } = this.#choices;
    return (Array.isArray(limits) && limits.find((entry) => entry?.[0] === classId)?.[1]) || {};
  }

  /**
   * @param {string} classId
   * @param {Choice} choice
   */
  setFocus(classId, choice) {
    const { limits } = this.#choices;
    const others = Array.isArray(limits) ? limits.filter((entry) => entry?.[0] !== classId) : [];
    /** @type {Choices["limits"]} */
    const all = [...others, [classId, choice]];
    this.set("limits", all.slice(-MAX_CLASSES));
  }

  nextTheme() {
    return THEMES[(THEMES.indexOf(this.#choices.theme) + 1) % THEMES.length];
  }

  #apply() {
    const root = document.documentElement;
    const { language, theme, projector } = this.#choices;
    root.lang = language;
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    root.toggleAttribute("data-projector", projector);
  }
}
