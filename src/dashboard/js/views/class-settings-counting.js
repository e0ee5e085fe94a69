// The parts of the class's settings that say how runs are counted: by what cells and notebooks are
// matched, and from when on a student is stuck or idle.

import { h, setAttribute, setText, show } from "../dom.js";
import { readSettings } from "../settings.js";
import { SECOND } from "../time.js";

/**
 * @import { SettingsPart } from "./class-settings.js"
 * @import { Page } from "./list.js"
 */

/**
 * @param {Page} page
 * @returns {SettingsPart}
 */
export function matchingPart({ t }) {
  const { classSettings } = t;
  const cells = choice("cellsBy", classSettings.cells, classSettings.cellsBy);
  const notebooks = choice("notebooksBy", classSettings.notebooks, classSettings.notebooksBy);
  const problem = problemText();
  const element = h(
    "div",
    { class: "settings-part settings-matching" },
    h("div", {}, cells.element, h("p", { class: "hint" }, classSettings.cellsHint)),
    h("div", {}, notebooks.element, h("p", { class: "hint" }, classSettings.notebooksHint)),
    problem.element,
  );
  return {
    element,
    members: ["cellsBy", "notebooksBy"],
    show(written) {
      const settings = readSettings(written);
      cells.choose(settings.cellsBy);
      notebooks.choose(settings.notebooksBy);
    },
    read: () => ({ cellsBy: cells.chosen(), notebooksBy: notebooks.chosen() }),
    say: problem.say,
  };
}

/**
 * @param {Page} page
 * @returns {SettingsPart}
 */
export function thresholdsPart({ t }) {
  const stuckAfter = number("stuck-after", t.classSettings.stuckAfter, 1, 100);
  const idleAfter = number("idle-after", t.classSettings.idleAfter, 10, 86_400);
  const problem = problemText();
  const element = h(
    "fieldset",
    { class: "settings-part" },
    h("legend", {}, t.classSettings.thresholds),
    stuckAfter.element,
    idleAfter.element,
    problem.element,
  );
  return {
    element,
    members: ["stuckAfter", "idleAfter"],
    show(written) {
      const settings = readSettings(written);
      stuckAfter.input.value = String(settings.stuckAfter);
      idleAfter.input.value = String(settings.idleAfter / SECOND);
    },
    read() {
      const wrong = [stuckAfter, idleAfter].find(({ input }) => !input.reportValidity());
      if (wrong !== undefined) return null;
      return {
        stuckAfter: stuckAfter.input.valueAsNumber,
        idleAfter: idleAfter.input.valueAsNumber,
      };
    },
    say: problem.say,
  };
}

/** What is wrong with a part. */
export function problemText() {
  const element = h("p", { class: "dialog-error", role: "alert", hidden: true });
  return {
    element,
    /** @param {string} problem `""` if there is none */
    say(problem) {
      setText(element, problem);
      show(element, problem !== "");
    },
  };
}

/**
 * @template {string} Value
 * @param {string} name
 * @param {string} label
 * @param {Record<Value, string>} texts
 */
function choice(name, label, texts) {
  const values = /** @type {Value[]} */ (Object.keys(texts));
  const inputs = values.map((value) => h("input", { type: "radio", name, value }));
  const element = h(
    "fieldset",
    {},
    h("legend", {}, label),
    inputs.map((input, at) => h("label", { class: "checkbox" }, input, texts[values[at]])),
  );
  return {
    element,
    /** @param {Value} value */
    choose(value) {
      inputs.forEach((input, at) => (input.checked = values[at] === value));
    },
    chosen: () => values[inputs.findIndex((input) => input.checked)],
  };
}

/**
 * @param {string} id
 * @param {string} label
 * @param {number} min
 * @param {number} max
 */
function number(id, label, min, max) {
  const input = h("input", { type: "number", id, min, max, step: 1, required: true });
  setAttribute(input, "inputmode", "numeric");
  return { element: h("label", { class: "field number-field", for: id }, label, input), input };
}
