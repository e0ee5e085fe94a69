// The cells in which runs fail: how many students, how many runs, and the most common error.

import { card, emptyState } from "../components/card.js";
import { moreButton } from "../components/more.js";
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
  const { t } = page;
  const view = card("cells", t.cells.heading);
  const empty = emptyState(t.cells.empty, { good: true });
  const body = h("tbody");
  const heads = [t.cells.cell, t.cells.students, t.cells.share, t.cells.message];
  const head = heads.map((text) => h("th", { scope: "col" }, text));
  const labelled = { "aria-labelledby": "cells-heading" };
  const table = h("table", labelled, h("thead", {}, h("tr", {}, head)), body);
  const more = moreButton(t, { few: FEW, more: t.cells.showMore }, draw);
  view.body.append(empty.element, h("div", { class: "scroll-area" }, table), ...more.elements);

  /** @type {List<FailingCell, CellRow>} */
  const list = new List(body, {
    key: ({ cell }) => cellName(cell.notebookPath, cell.cellId),
    create: () => new CellRow(page),
    update: (row, failing) => row.update(failing),
  });

  function draw() {
    const cells = failing(page).sort(worstFirst);
    list.show(more.of(cells));
    setText(view.count, cells.length);
    show(empty.element, cells.length === 0);
    show(table, cells.length > 0);
  }

  return {
    element: view.element,
    slot: "board",
    updateCalmly(changes) {
      const isPassing = page.focus.minutes > 0 && changes.tick;
      if (changes.all || changes.filter || isPassing || changes.cells.size > 0) draw();
    },
  };
}

/**
 * A cell in which runs fail, as counted over the students that the page is limited to.
 *
 * @typedef {object} FailingCell
 * @property {Cell} cell
 * @property {string} cellId
 * @property {number} students
 * @property {number} failingStudents
 * @property {number} runs
 * @property {number} failedRuns
 */

/**
 * @param {Page} page
 * @returns {FailingCell[]}
 */
function failing({ store, clock, focus }) {
  const now = clock.now();
  const cells = [...store.state.cells.values()].filter((cell) => cell.failedRuns > 0);
  const counted = cells.map((cell) => {
    const { cellId } = cell;
    if (focus.isWhole) return { ...cell, cell, students: cell.students.size };
    const pairs = focus.runsOf(cell, cellName(cell.notebookPath, cellId), now);
    const sum = (/** @type {"runs" | "failedRuns"} */ name) =>
      pairs.reduce((total, pair) => total + pair[name], 0);
    const failingStudents = pairs.filter((pair) => pair.failedRuns > 0).length;
    const [runs, failedRuns] = [sum("runs"), sum("failedRuns")];
    return { cell, cellId, students: pairs.length, failingStudents, runs, failedRuns };
  });
  return counted.filter(({ failedRuns }) => failedRuns > 0);
}

/**
 * @param {FailingCell} a
 * @param {FailingCell} b
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
  /** @type {Cell | null} */
  #cell = null;
  #open;
  #notebook = bdi("", { class: "secondary-text" });
  #students = meter();
  #runs = meter();
  #message = bdi("", { class: "error-message" });
  #times = h("span", { class: "secondary-text" });

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
    const click = () => this.#cell !== null && page.openCell(this.#cell);
    this.#open = h("button", { type: "button", class: "cell-open", on: { click } }, this.#label);
    this.element = h(
      "tr",
      {},
      h("th", { scope: "row" }, this.#open, this.#notebook),
      h("td", {}, this.#students.element),
      h("td", {}, this.#runs.element),
      h("td", { class: "cell-errors" }, this.#message, this.#times),
    );
  }

  /** @param {FailingCell} failing */
  update({ cell, students, failingStudents, runs, failedRuns }) {
    const { store, t, focus } = this.#page;
    const { messages } = cell;
    this.#cell = cell;
    setText(this.#label, cellLabel(cell, t));
    setAttribute(this.#open, "title", t.oneCell.open(cellLabel(cell, t)));
    setText(this.#notebook, notebookName(cell.notebookPath, t));
    show(this.#notebook, store.notebooks.size > 1);
    const share = students > 0 ? failingStudents / students : 0;
    this.#students.update(t.cells.of(failingStudents, students), share);
    this.#runs.update(t.percent(failedRuns / runs), failedRuns / runs);
    setAttribute(this.#runs.element, "title", t.cells.ofRuns(failedRuns, runs));
    const { message, count } = messages[0] ?? { message: "", count: 0 };
    setText(this.#message, errorLine(message) || t.stuck.noMessage);
    const named = messages.slice(0, MAX_MESSAGES);
    const lines = named.map(
      ({ message, count }) => `${t.cells.times(count)} ${errorLine(message)}`,
    );
    setAttribute(this.#message, "title", lines.join("\n"));
    const others = messages.length - 1;
    const times = [count > 0 ? t.cells.times(count) : "", others > 0 ? t.cells.more(others) : ""];
    // Messages are counted by cell, and not by student.
    if (!focus.isWhole) times.push(`(${t.limits.whole})`);
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
