// The other instructors who look at the class, in the header.

import { bdi, h, setAttribute, show } from "../dom.js";

/** @import { Page } from "./list.js" */

/** The most names that are shown. */
const MAX_NAMES = 3;

/** @param {Page} page */
export function presenceList({ presence, t }) {
  const list = h("ul", { class: "presence", "aria-label": t.presence.label });
  return {
    element: list,
    update() {
      const names = presence.others().map(({ name }) => name);
      const shown = names.slice(0, MAX_NAMES);
      const items = shown.map((name) => h("li", {}, bdi(name)));
      const more = names.length - shown.length;
      if (more > 0) items.push(h("li", {}, t.presence.more(more)));
      if (items.map((item) => item.textContent).join("\n") !== textOf(list)) {
        list.replaceChildren(...items);
      }
      setAttribute(list, "title", `${t.presence.label}: ${names.join(", ")}`);
      show(list, names.length > 0);
    },
  };
}

/** @param {Element} list */
function textOf(list) {
  return [...list.children].map((item) => item.textContent).join("\n");
}
