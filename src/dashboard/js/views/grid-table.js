// The grid as a table, for those who do not see the canvas or prefer to read.

import { statusMark } from "../components/status.js";
import { studentButton } from "../components/student-button.js";
import { bdi, h, setText, show } from "../dom.js";
import { cellLabel, cellNumber } from "../names.js";
import { outcome, outcomeText } from "./grid-model.js";

/**
 * @import { Row } from "../store.js"
 * @import { Column } from "./grid-model.js"
 * @import { Page } from "./list.js"
 */

/** The number of students on a page of the table. */
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
  /** @type {Row[]} */
  #rows = [];
  /** @type {Column[]} */
  #columns = [];
  /** The place of the first row on this page of the table. */
  #from = 0;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
    const { t } = page;
    this.#previous = this.#turnButton(t.grid.previous, -1);
    this.#next = this.#turnButton(t.grid.next, 1);
    const labelled = { "aria-labelledby": "grid-heading" };
    const scrolled = { class: "scroll-area", tabindex: "0", role: "region", ...labelled };
    const head = h("thead", {}, this.#head);
    this.element = h(
      "div",
      { class: "grid-as-table" },
      h("div", scrolled, h("table", { class: "grid-table", ...labelled }, head, this.#body)),
      h("nav", { class: "grid-pager" }, this.#previous, this.#range, this.#next),
    );
  }

  /**
   * @param {string} text
   * @param {number} pages
   */
  #turnButton(text, pages) {
    const click = () => {
      this.#from += pages * PAGE;
      this.#draw();
    };
    return h("button", { type: "button", class: "text-button", on: { click } }, text);
  }

  /**
   * @param {Row[]} rows
   * @param {Column[]} columns
   */
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
    const focused = this.#focusedKey();
    const heads = this.#columns.map(({ cell }) => {
      const label = cellLabel(cell, t);
      return h("th", { scope: "col", title: label }, bdi(cellNumber(cell) ?? label));
    });
    this.#head.replaceChildren(h("th", { scope: "col" }, t.grid.student), ...heads);
    const elements = shown.map((row) => this.#row(row));
    this.#body.replaceChildren(...elements);
    const same = elements.find((element) => element.dataset.key === focused);
    same?.querySelector("button")?.focus();
    const to = Math.min(length, this.#from + PAGE);
    setText(this.#range, t.grid.pages(Math.min(length, this.#from + 1), to, length));
    show(this.#previous, this.#from > 0);
    show(this.#next, to < length);
  }

  /** The student whose button has the focus; `null` if none has. */
  #focusedKey() {
    const focused = document.activeElement;
    if (focused === null || !this.#body.contains(focused)) return null;
    return focused.closest("tr")?.dataset.key ?? null;
  }

  /** @param {Row} row */
  #row({ status, student }) {
    const { t } = this.#page;
    const name = studentButton(this.#page, student.studentId);
    name.update(student);
    const line = h("div", { class: "student-line" }, statusMark(status, t), name.element);
    const cells = this.#columns.map((column) => {
      const runs = student.cells.get(column.name);
      const found = outcome(runs);
      return h(
        "td",
        { class: `outcome-${found}` },
        h("span", { "aria-hidden": "true" }, SIGNS[found]),
        h("span", { class: "visually-hidden" }, outcomeText(runs, t)),
      );
    });
    return h("tr", { data: { key: student.studentId } }, h("th", { scope: "row" }, line), cells);
  }
}
