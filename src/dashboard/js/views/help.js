// The help queue: the students whose hand is up, the longest waiting first.

import { card, emptyState } from "../components/card.js";
import { concerns } from "../components/status.js";
import { List, h, setText, show } from "../dom.js";
import { studentName } from "../names.js";
import { HelpItem, raisedAt } from "./help-item.js";
import { nameDialog } from "./own-name.js";

/**
 * @import { Row } from "../store.js"
 * @import { Page, View } from "./list.js"
 */

/**
 * @param {Page} page
 * @returns {View}
 */
export default function helpQueue(page) {
  const { store, t } = page;
  const view = card("help", t.help.heading);
  const empty = emptyState(t.help.empty, { hint: t.help.emptyHint, good: true });
  const list = h("ol", { class: "help-list" });
  // Screen readers are told each hand here: they would read the whole queue again at every second.
  const announcer = h("p", { class: "visually-hidden", "aria-live": "polite" });
  view.body.append(empty.element, list, announcer);
  const ownName = nameDialog(page, view.body);
  view.element.tabIndex = -1;

  /** @type {List<Row, HelpItem>} */
  const items = new List(list, {
    key: (row) => row.student.studentId,
    create: (row) => new HelpItem(page, row, ownName),
    update: (item, row) => item.update(row),
  });

  function draw() {
    const raised = page.focus.ofTeam(store.withStatus("help"));
    const queue = raised.sort((a, b) => raisedAt(a) - raisedAt(b));
    items.show(queue);
    setText(view.count, queue.length);
    show(empty.element, queue.length === 0);
    show(list, queue.length > 0);
    view.element.classList.toggle("has-hands", queue.length > 0);
  }

  return {
    element: view.element,
    slot: "urgent",
    update(changes) {
      const raised = page.focus.ofTeam(changes.raised);
      const names = raised.map((row) => studentName(row.student));
      if (names.length > 0) setText(announcer, t.help.raised(names.join(", ")));
      if (changes.filter || concerns(changes, "help")) draw();
      else if (changes.tick || changes.presence) for (const item of items.parts()) item.tick();
    },
  };
}
