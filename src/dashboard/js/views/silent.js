// Who has gone silent.

import { List, h, setText, show } from "../dom.js";
import { card, emptyState, nameButton, partsOf, remember } from "./common.js";
import { SILENT_AFTER } from "./place.js";

/** Names shown; the rest is a number. */
const MOST = 60;

export function silent(page) {
  const { store, clock, t } = page;
  const view = card("silent", t.silent.heading);
  const empty = emptyState(t.silent.empty, null, true);
  const note = h("p", { class: "note" }, t.silent.since);
  const list = h("ul", { class: "silent-list" });
  const more = h("p", { class: "note" });
  view.body.append(empty, note, list, more);

  const items = new List(list, {
    key: (row) => row.student.studentId,
    create: (row) => {
      const name = nameButton(page, row);
      const age = h("span", { class: "since" });
      return remember(h("li", {}, name.button, age), { name, age });
    },
    update: (element, row) => {
      const part = partsOf(element);
      part.name.update(row.student);
      setText(part.age, t.span(clock.now() - row.student.lastReceivedAt));
    },
  });

  return {
    element: view.element,
    calm: true,
    update() {
      const now = clock.now();
      const gone = [...store.rows.values()].filter((row) => now - row.student.lastReceivedAt >= SILENT_AFTER);
      // Whoever left last is the one to look for.
      gone.sort((a, b) => b.student.lastReceivedAt - a.student.lastReceivedAt);
      items.show(gone.slice(0, MOST));
      setText(view.count, gone.length);
      setText(more, t.silent.more(gone.length - MOST));
      show(empty, gone.length === 0);
      show(note, gone.length > 0);
      show(list, gone.length > 0);
      show(more, gone.length > MOST);
    },
  };
}
