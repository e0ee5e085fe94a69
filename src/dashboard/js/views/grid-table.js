// The grid as a table: the same for those who do not see it, or who want to read it.

import { bdi, h, setText, show } from "../dom.js";
import { cellLabel } from "../names.js";
import { nameButton, statusMark } from "./common.js";
import { outcome, outcomeText } from "./grid-model.js";

const PAGE = 50;
const SIGNS = { none: "", ok: "✓", mended: "✓", failed: "✕" };

export class GridTable {
  element;
  #page;
  #head = h("tr");
  #body = h("tbody");
  #range = h("span");
  #previous;
  #next;
  #rows = [];
  #columns = [];
  #from = 0;

  constructor(page) {
    this.#page = page;
    const { t } = page;
    const turn = (pages) => () => {
      this.#from += pages * PAGE;
      this.#draw();
    };
    this.#previous = h("button", { type: "button", class: "quiet", on: { click: turn(-1) } }, t.grid.previous);
    this.#next = h("button", { type: "button", class: "quiet", on: { click: turn(1) } }, t.grid.next);
    const table = h("table", { class: "grid-table", "aria-labelledby": "grid-heading" }, h("thead", {}, this.#head), this.#body);
    this.element = h(
      "div",
      { class: "grid-as-table" },
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "grid-heading" }, table),
      h("nav", { class: "pager" }, this.#previous, this.#range, this.#next),
    );
  }

  show(rows, columns) {
    this.#rows = rows;
    this.#columns = columns;
    this.#draw();
  }

  #draw() {
    const { t } = this.#page;
    const { length } = this.#rows;
    this.#from = Math.max(0, Math.min(this.#from, Math.floor((length - 1) / PAGE) * PAGE));
    const shown = this.#rows.slice(this.#from, this.#from + PAGE);
    const focused = this.#body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.key : null;
    const heads = this.#columns.map(({ cell }) => h("th", { scope: "col", title: cellLabel(cell, t) }, bdi(cell.cellIndex ?? cellLabel(cell, t))));
    this.#head.replaceChildren(h("th", { scope: "col" }, t.grid.student), ...heads);
    this.#body.replaceChildren(...shown.map((row) => this.#row(row)));
    if (focused !== null) {
      [...this.#body.children].find((element) => element.dataset.key === focused)?.querySelector("button").focus();
    }
    setText(this.#range, t.grid.pages(Math.min(length, this.#from + 1), Math.min(length, this.#from + PAGE), length));
    show(this.#previous, this.#from > 0);
    show(this.#next, this.#from + PAGE < length);
  }

  #row(row) {
    const { t } = this.#page;
    const name = nameButton(this.#page, row);
    name.update(row.student);
    const cells = this.#columns.map(({ name }) => {
      const runs = row.student.cells.get(name);
      const kind = outcome(runs);
      return h("td", { class: kind }, h("span", { "aria-hidden": "true" }, SIGNS[kind]), h("span", { class: "sr" }, outcomeText(runs, t)));
    });
    return h("tr", { data: { key: row.student.studentId } }, h("th", { scope: "row" }, h("div", { class: "line" }, statusMark(row.status, t), name.button)), cells);
  }
}
