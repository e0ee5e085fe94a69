// The students of whom nothing was received for a while.

import { card, emptyState } from "../components/card.js";
import { studentButton } from "../components/student-button.js";
import { List, h, setText, show } from "../dom.js";
import { MINUTE } from "../time.js";

/**
 * @import { Row } from "../store.js"
 * @import { Page, View } from "./list.js"
 */

/** A student of whom nothing was received for this long is silent. */
export const SILENT_AFTER = 10 * MINUTE;
/** The most students that are named. The others are a number. */
const MAX_NAMES = 60;

/**
 * @param {Page} page
 * @returns {View}
 */
export default function silent(page) {
  const { store, clock, t } = page;
  const view = card("silent", t.silent.heading);
  const empty = emptyState(t.silent.empty, { good: true });
  const note = h("p", { class: "note" }, t.silent.since);
  const list = h("ul", { class: "silent-list" });
  const more = h("p", { class: "note" });
  view.body.append(empty.element, note, list, more);

  /** @type {List<Row, ReturnType<typeof silentItem>>} */
  const items = new List(list, {
    key: (row) => row.student.studentId,
    create: (row) => silentItem(page, row),
    update(item, row) {
      item.name.update(row.student);
      setText(item.age, t.span(clock.now() - row.student.lastReceivedAt));
    },
  });

  return {
    element: view.element,
    slot: "board",
    updateCalmly() {
      const now = clock.now();
      // After the lesson everybody is silent.
      const rows = store.state.isOver(now) ? [] : page.focus.ofTeam(store.rows.values());
      const gone = rows.filter((row) => now - row.student.lastReceivedAt >= SILENT_AFTER);
      // The student who left last may still be found.
      gone.sort((a, b) => b.student.lastReceivedAt - a.student.lastReceivedAt);
      items.show(gone.slice(0, MAX_NAMES));
      setText(view.count, gone.length);
      setText(more, t.silent.more(gone.length - MAX_NAMES));
      show(view.element, !store.state.isOver(now));
      show(empty.element, gone.length === 0);
      show(note, gone.length > 0);
      show(list, gone.length > 0);
      show(more, gone.length > MAX_NAMES);
    },
  };
}

/**
 * @param {Page} page
 * @param {Row} row
 */
function silentItem(page, row) {
  const name = studentButton(page, row.student.studentId);
  const age = h("span", { class: "silent-since" });
  return { element: h("li", {}, name.element, age), name, age };
}
