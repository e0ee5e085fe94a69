// The cells in which runs fail: how many students, how many runs, and the most common error.

import { card, emptyState } from "../components/card.js";
import { List, bdi, h, setAttribute, setText, setVariable, show } from "../dom.js";
import { cellName } from "../cell.js";
import { cellLabel, errorLine, notebookName } from "../names.js";

/**
 * @import { Cell } from "../cell.js"
 * @import { Page, View } from "./list.js"
 */

/** So many cells are shown until more are asked for. */
const FEW = 8;
/** The most messages in the tip. */
const MAX_MESSAGES = 5;

/**
 * @param {Page} page
 * @returns {View}
 */
export default function failingCells(page) {
  const { store, t } = page;
  const view = card("cells", t.cells.heading);
  const empty = emptyState(t.cells.empty, { good: true });
  const body = h("tbody");
  const heads = [t.cells.cell, t.cells.students, t.cells.share, t.cells.message];
  const head = heads.map((text) => h("th", { scope: "col" }, text));
  const labelled = { "aria-labelledby": "cells-heading" };
  const table = h("table", labelled, h("thead", {}, h("tr", {}, head)), body);
  const toggle = () => {
    all = !all;
    draw();
  };
  const properties = { type: "button", class: "text-button", hidden: true, on: { click: toggle } };
  const more = h("button", properties);
  view.body.append(empty.element, h("div", { class: "scroll-area" }, table), more);
  /** Whether all cells are shown. */
  let all = false;

  /** @type {List<Cell, CellRow>} */
  const list = new List(body, {
    key: (cell) => cellName(cell.notebookPath, cell.cellId),
    create: () => new CellRow(page),
    update: (row, cell) => row.update(cell),
  });

  function draw() {
    const cells = [...store.state.cells.values()].filter((cell) => cell.failedRuns > 0);
    cells.sort(worstFirst);
    list.show(all ? cells : cells.slice(0, FEW));
    setText(view.count, cells.length);
    show(empty.element, cells.length === 0);
    show(table, cells.length > 0);
    show(more, cells.length > FEW);
    setText(more, all ? t.stuck.fewer : t.stuck.more(cells.length - FEW));
  }

  return {
    element: view.element,
    slot: "board",
    updateCalmly(changes) {
      if (changes.all || changes.cells.size > 0) draw();
    },
  };
}

/**
 * @param {Cell} a
 * @param {Cell} b
 */
function worstFirst(a, b) {
  return (
    b.failingStudents - a.failingStudents ||
    b.failedRuns - a.failedRuns ||
    (a.cellId < b.cellId ? -1 : 1)
  );
}

class CellRow {
  element;
  #page;
  #label = bdi("", { class: "cell-label" });
  #notebook = bdi("", { class: "secondary-text" });
  #students = meter();
  #runs = meter();
  #message = bdi("", { class: "error-message" });
  #times = h("span", { class: "secondary-text" });

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
    this.element = h(
      "tr",
      {},
      h("th", { scope: "row" }, this.#label, this.#notebook),
      h("td", {}, this.#students.element),
      h("td", {}, this.#runs.element),
      h("td", { class: "cell-errors" }, this.#message, this.#times),
    );
  }

  /** @param {Cell} cell */
  update(cell) {
    const { store, t } = this.#page;
    const { failingStudents, failedRuns, messages } = cell;
    const students = cell.students.size;
    setText(this.#label, cellLabel(cell, t));
    setText(this.#notebook, notebookName(cell.notebookPath, t));
    show(this.#notebook, store.notebooks.size > 1);
    const share = students > 0 ? failingStudents / students : 0;
    this.#students.update(t.cells.of(failingStudents, students), share);
    this.#runs.update(t.percent(failedRuns / cell.runs), failedRuns / cell.runs);
    setAttribute(this.#runs.element, "title", t.cells.ofRuns(failedRuns, cell.runs));
    const { message, count } = messages[0] ?? { message: "", count: 0 };
    setText(this.#message, errorLine(message) || t.stuck.noMessage);
    const named = messages.slice(0, MAX_MESSAGES);
    const lines = named.map(
      ({ message, count }) => `${t.cells.times(count)} ${errorLine(message)}`,
    );
    setAttribute(this.#message, "title", lines.join("\n"));
    const others = messages.length - 1;
    const times = [count > 0 ? t.cells.times(count) : "", others > 0 ? t.cells.more(others) : ""];
    setText(this.#times, times.filter(Boolean).join(" "));
  }
}

/** A share as a bar, and in words. */
function meter() {
  const label = h("span", { class: "meter-text" });
  const bar = h("span", { class: "meter-bar", "aria-hidden": "true" });
  const element = h("div", { class: "meter" }, bar, label);
  return {
    element,
    /**
     * @param {string} text
     * @param {number} share
     */
    update(text, share) {
      setText(label, text);
      setVariable(element, "--share", share);
    },
  };
}
