// Stands in place of the class until its summary is there.

import { h, show } from "../dom.js";

/** @import { Page, View } from "./list.js" */

/**
 * @param {Page} page
 * @returns {View}
 */
export default function loading(page) {
  const element = h("p", { class: "loading", role: "status" }, page.t.loading);
  return {
    element,
    slot: "main",
    update: () => show(element, !page.store.loaded && page.connection.name !== "refused"),
  };
}
