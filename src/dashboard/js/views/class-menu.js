// The menu of the class in the header: its settings, and its lessons.

import { closeAsMenu } from "../components/menu.js";
import { h, show } from "../dom.js";
import { icon } from "../icons.js";
import { settingsDialog } from "./class-settings.js";
import { lessonsDialog, newLessonDialog } from "./lessons.js";
import { ownNameControl } from "./own-name.js";

/** @import { Page } from "./list.js" */

/** Those who may act in a class. */
const ROLES = ["instructor", "operator"];

/** @param {Page} page */
export function classMenu(page) {
  const { t } = page;
  const settings = settingsDialog(page);
  /** @type {[string, string, { element: HTMLElement, open: () => void }][]} */
  const acts = [
    ["settings", t.classMenu.settings, settings],
    ["new-lesson", t.classMenu.newLesson, newLessonDialog(page)],
  ];
  /** @type {typeof acts} */
  const items = [["lessons", t.classMenu.lessons, lessonsDialog(page)]];
  // What was an earlier lesson's cannot be changed.
  if (page.lessonId === null) items.unshift(...acts);
  // On a phone the header has no room for it.
  const name = ownNameControl(page);
  const list = h(
    "ul",
    { class: "class-menu-list" },
    h("li", {}, name.element),
    items.map(([name, text, dialog]) => {
      const open = () => {
        element.open = false;
        // What has the focus now gets it back in the end, and the menu is closed then.
        element.querySelector("summary")?.focus();
        dialog.open();
      };
      const button = { type: "button", class: `class-menu-item open-${name}`, on: { click: open } };
      return h("li", {}, h("button", button, text));
    }),
  );
  const summary = {
    class: "icon-button class-menu-button",
    title: t.classMenu.label,
    "aria-label": t.classMenu.label,
  };
  // An icon alone does not say that tomorrow's lesson is prepared here.
  const words = h("span", { class: "class-menu-words" }, t.classMenu.label);
  const element = h(
    "details",
    { class: "class-menu" },
    h("summary", summary, icon("menu"), words),
    list,
  );
  closeAsMenu(element);
  const dialogs = items.map(([, , dialog]) => dialog.element);
  return {
    element: h("div", { class: "class-menu-control" }, element, dialogs),
    update() {
      show(element, page.me.caller === null || ROLES.includes(page.me.caller.role));
      name.update();
    },
    /**
     * Files were dropped onto the page.
     *
     * @param {File[]} files
     */
    drop(files) {
      const modal = document.querySelector("dialog:modal");
      const isCovered = modal !== null && modal !== settings.element;
      if (!isCovered && !element.hidden && page.lessonId === null) settings.take(files);
    },
  };
}
