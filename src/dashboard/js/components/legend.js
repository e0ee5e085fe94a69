import { h } from "../dom.js";

/**
 * Explains colours and shapes.
 *
 * @param {[name: string, text: string][]} entries each name is a class of the swatch
 */
export function legend(entries) {
  const keys = entries.map(([name, text]) => {
    const swatch = h("span", { class: `legend-swatch ${name}`, "aria-hidden": "true" });
    return h("span", { class: "legend-key" }, swatch, text);
  });
  return h("div", { class: "legend" }, keys);
}
