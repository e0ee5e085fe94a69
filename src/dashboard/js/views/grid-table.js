// The grid as a table, for those who do not see the canvas or prefer to read.

import { statusMark } from "../components/status.js";
import { studentButton } from "../components/student-button.js";
import { bdi, h, setText, show } from "../dom.js";
import { cellLabel, cellNumber } from "../names.js";
import { outcome, outcomeText } from "./grid-model.js";
import { describeColumn, describeDone } from "./grid-words.js";

/**
 * @import { Progress } from "../outline.js"
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
  /** The titles of the heads that are drawn. */
  #heads = "";
  /** @type {Progress | null} */
  #progress = null;
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
   * @param {Progress | null} progress if the columns are those of an outline
   */
  show(rows, columns, progress) {
    this.#progress = progress;
    this.#rows = rows;
    this.#columns = columns;
    this.#draw();
  }

  #draw() {
    const { t } = this.#page;
    const { length } = this.#rows;
    this.#from = Math.max(0, Math.min(this.#from, Math.floor((length - 1) / PAGE) * PAGE));
    const shown = this.#rows.slice(this.#from, this.#from + PAGE);
    const [focused, place] = this.#focused();
    this.#drawHead();
    const elements = shown.map((row) => this.#row(row));
    this.#body.replaceChildren(...elements);
    const same = elements.find((element) => element.dataset.key === focused);
    same?.querySelectorAll("button")[place]?.focus();
    const to = Math.min(length, this.#from + PAGE);
    setText(this.#range, t.grid.pages(Math.min(length, this.#from + 1), to, length));
    show(this.#previous, this.#from > 0);
    show(this.#next, to < length);
  }

  /** Writes the columns' heads if they differ: one of them may have the focus. */
  #drawHead() {
    const { t } = this.#page;
    const titles = this.#columns.map((column) => describeColumn(column, this.#page));
    const here = this.#progress?.done.size ?? 0;
    const written = JSON.stringify([titles, here]);
    if (written === this.#heads) return;
    this.#heads = written;
    const heads = this.#columns.map(({ cell, planned, done }, at) => {
      const open = () => this.#page.openCell(cell);
      const button = { type: "button", class: "text-button", title: titles[at] };
      const number = bdi(cellNumber(cell) ?? cellLabel(cell, t));
      const progress =
        planned !== null && here > 0 ? t.outline.progress(t.percent(done / here), done, here) : "";
      return h(
        "th",
        { scope: "col" },
        h("button", { ...button, on: { click: open } }, number),
        progress === "" ? null : h("div", { class: "column-progress" }, progress),
      );
    });
    this.#head.replaceChildren(h("th", { scope: "col" }, t.grid.student), ...heads);
  }

  /**
   * The student one of whose buttons has the focus, and the button's place.
   *
   * @returns {[key: string | null, place: number]}
   */
  #focused() {
    const focused = document.activeElement;
    const row = focused !== null && this.#body.contains(focused) ? focused.closest("tr") : null;
    if (row === null) return [null, 0];
    const place = [...row.querySelectorAll("button")].findIndex((button) => button === focused);
    return [row.dataset.key ?? null, Math.max(0, place)];
  }

  /** @param {Row} row */
  #row({ status, student }) {
    const { t } = this.#page;
    const name = studentButton(this.#page, student.studentId);
    name.update(student);
    const line = h("div", { class: "student-line" }, statusMark(status, t), name.element);
    if (this.#progress !== null) {
      const { done, exercises } = this.#progress;
      const title = describeDone(this.#progress, student, t);
      const text = t.outline.done(done.get(student) ?? 0, exercises);
      line.append(h("span", { class: "secondary-text student-done", title }, text));
    }
    const cells = this.#columns.map((column) => {
      const runs = student.cells.get(column.name);
      const found = outcome(runs);
      const words = [
        h("span", { "aria-hidden": "true" }, SIGNS[found]),
        h("span", { class: "visually-hidden" }, outcomeText(runs, t)),
      ];
      const open = () => this.#page.open(student.studentId, column.cell);
      const button = { type: "button", class: "grid-run", on: { click: open } };
      return h(
        "td",
        { class: `outcome-${found}` },
        runs === undefined ? words : h("button", button, words),
      );
    });
    return h("tr", { data: { key: student.studentId } }, h("th", { scope: "row" }, line), cells);
  }
}
