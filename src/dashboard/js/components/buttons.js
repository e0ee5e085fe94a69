import { h, setAttribute } from "../dom.js";
import { icon } from "../icons.js";

/**
 * @import { IconName } from "../icons.js"
 */

/**
 * A button that is an icon; its name is there for screen readers and as a tip.
 *
 * @param {IconName} name
 * @param {string} label
 * @param {() => void} click
 */
export function iconButton(name, label, click) {
  const properties = { type: "button", class: "icon-button", title: label, "aria-label": label };
  return h("button", { ...properties, on: { click } }, icon(name));
}

/**
 * A button that is pressed or not.
 *
 * @param {HTMLButtonElement} button
 * @param {boolean} pressed
 */
export function setPressed(button, pressed) {
  setAttribute(button, "aria-pressed", String(pressed));
}

/**
 * Buttons of which one is pressed.
 *
 * @template Value
 * @param {string} label
 * @param {{ value: Value, text: string, name?: string, lang?: string }[]} options
 * @param {(value: Value) => void} choose
 */
export function segmentedControl(label, options, choose) {
  const buttons = options.map(({ value, text, name, lang }) => ({
    value,
    element: h(
      "button",
      {
        type: "button",
        class: "segment-button",
        "aria-label": name,
        title: name,
        lang,
        on: { click: () => choose(value) },
      },
      text,
    ),
  }));
  const element = h(
    "div",
    { class: "segmented-control", role: "group", "aria-label": label },
    buttons.map((button) => button.element),
  );
  return {
    element,
    /** @param {Value} value */
    update(value) {
      for (const button of buttons) setPressed(button.element, button.value === value);
    },
  };
}
