// The class in five numbers, which are also filters of the grid.

import { h, setAttribute, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { STATUSES } from "../student.js";
import { statusBar } from "./common.js";

export function overview(page) {
  const { store, t } = page;
  const tiles = STATUSES.map((status) => {
    const number = h("span", { class: "tile-number" });
    const choose = () => page.filter(page.status === status ? null : status);
    const button = h(
      "button",
      { type: "button", class: `tile ${status}`, title: t.statusHint[status], on: { click: choose } },
      h("span", { class: "tile-label" }, icon(status), t.status[status]),
      number,
    );
    return { status, number, button };
  });
  const bar = statusBar(t);
  const sums = h("span");
  const address = `api/class/export?${new URLSearchParams({ class: page.classId, format: "csv" })}`;
  const totals = h("p", { class: "totals" }, sums, h("a", { href: address, download: "" }, t.overview.download));
  const element = h(
    "section",
    { class: "overview", "aria-labelledby": "overview-heading" },
    h("h2", { class: "sr", id: "overview-heading" }, t.overview.heading),
    h("div", { class: "tiles" }, tiles.map(({ button }) => button)),
    bar.element,
    totals,
  );

  return {
    element,
    update(changes) {
      if (!changes.all && changes.students.size === 0 && !changes.statuses) return;
      for (const { status, number, button } of tiles) {
        const count = store.counts[status];
        setText(number, t.number(count));
        button.classList.toggle("none", count === 0);
        setAttribute(button, "aria-pressed", String(page.status === status));
        setAttribute(button, "aria-label", t.overview.filter(t.status[status], count));
      }
      bar.update(store.counts, store.rows.size);
      const { runs, errors } = store.totals;
      setText(sums, [t.students(store.rows.size), t.runs(runs), t.failures(errors)].join(" · "));
      show(element, store.rows.size > 0);
    },
  };
}
