// Stands in place of a class without students: how to fill it, and which classes have some.

import { api } from "../api.js";
import { bdi, h, show } from "../dom.js";

/** @import { Page, View } from "./list.js" */

/** The most other classes that are offered. */
const MAX_OTHERS = 6;

/**
 * @param {Page} page
 * @returns {View}
 */
export default function emptyClass(page) {
  const { store, t, classId } = page;
  const others = h("ul", { class: "other-classes" });
  const othersHeading = h("p", { hidden: true }, t.empty.other);
  const endpoint = new URL("student-progress", document.baseURI);
  if (classId !== "default") endpoint.searchParams.set("class", classId);
  const element = h(
    "section",
    { class: "empty-class", hidden: true },
    h("div", { class: "waiting-dots", "aria-hidden": "true" }, h("span"), h("span"), h("span")),
    h("h2", {}, t.empty.heading(classId)),
    h("p", {}, t.empty.text),
    h("code", { class: "endpoint-url" }, endpoint.href),
    h("p", {}, t.empty.prepare(t.classMenu.label)),
    othersHeading,
    others,
  );

  let isListed = false;
  async function listOthers() {
    const { classes } = await api.classes();
    const filled = classes.filter((other) => other.classId !== classId && other.students > 0);
    const offered = filled.slice(0, MAX_OTHERS);
    show(othersHeading, offered.length > 0);
    for (const other of offered) {
      const choose = { click: () => page.choose(other.classId) };
      const size = ` · ${t.students(other.students)}`;
      const chip = { type: "button", class: "chip", on: choose };
      others.append(h("li", {}, h("button", chip, bdi(other.classId), size)));
    }
  }
  return {
    element,
    slot: "main",
    update() {
      const isEmpty = store.loaded && !store.isKnown;
      show(element, isEmpty);
      if (!isEmpty || isListed) return;
      isListed = true;
      // Without the list the class can still be chosen in the header.
      listOthers().catch(() => {});
    },
  };
}
