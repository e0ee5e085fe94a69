// Stands in place of the class until its summary is there.

import { h, show } from "../dom.js";

/** @import { Page, View } from "./list.js" */

/** In these states nothing is read until somebody does something, which the page says. */
const FINAL = ["refused", "forbidden", "signedOut"];

/**
 * @param {Page} page
 * @returns {View}
 */
export default function loading(page) {
  const element = h("p", { class: "loading", role: "status" }, page.t.loading);
  return {
    element,
    slot: "main",
    update: () => show(element, !page.store.loaded && !FINAL.includes(page.connection.name)),
  };
}
