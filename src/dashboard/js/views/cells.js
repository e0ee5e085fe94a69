// Cells that fail: how many students, how many runs, and with what.

import { List, bdi, h, setAttribute, setText, setVariable, show } from "../dom.js";
import { cellName } from "../fold.js";
import { cellLabel, errorLine, notebookName } from "../names.js";
import { card, emptyState, partsOf, remember } from "./common.js";

const FEW = 8;

export function failingCells(page) {
  const { store, t } = page;
  const view = card("cells", t.cells.heading);
  const empty = emptyState(t.cells.empty, null, true);
  const rows = h("tbody");
  const heads = [t.cells.cell, t.cells.students, t.cells.share, t.cells.message].map((text) => h("th", { scope: "col" }, text));
  const table = h("table", { "aria-labelledby": "cells-heading" }, h("thead", {}, h("tr", {}, heads)), rows);
  const more = h("button", { type: "button", class: "quiet", hidden: true });
  view.body.append(empty, h("div", { class: "scroll" }, table), more);
  let all = false;
  more.addEventListener("click", () => {
    all = !all;
    draw();
  });

  const list = new List(rows, {
    key: (cell) => cellName(cell.notebookPath, cell.cellId),
    create,
    update: (element, cell) => update(page, element, cell),
  });

  function draw() {
    const failing = [...store.state.cells.values()].filter((cell) => cell.failedRuns > 0).sort(worstFirst);
    list.show(all ? failing : failing.slice(0, FEW));
    setText(view.count, failing.length);
    show(empty, failing.length === 0);
    show(table, failing.length > 0);
    show(more, failing.length > FEW);
    setText(more, all ? t.stuck.fewer : t.stuck.more(failing.length - FEW));
  }

  return {
    element: view.element,
    calm: true,
    update(changes) {
      if (changes.all || changes.cells.size > 0) draw();
    },
  };
}

function worstFirst(a, b) {
  return b.failingStudents - a.failingStudents || b.failedRuns - a.failedRuns || (a.cellId < b.cellId ? -1 : 1);
}

function create() {
  const label = bdi("", { class: "cell-name" });
  const notebook = bdi("", { class: "sub" });
  const meter = () => {
    const text = h("span", { class: "meter-text" });
    return { text, element: h("div", { class: "meter" }, h("span", { class: "meter-bar", "aria-hidden": "true" }), text) };
  };
  const [students, runs] = [meter(), meter()];
  const message = bdi("", { class: "message" });
  const times = h("span", { class: "sub" });
  const element = h(
    "tr",
    {},
    h("th", { scope: "row" }, label, notebook),
    h("td", {}, students.element),
    h("td", {}, runs.element),
    h("td", { class: "messages" }, message, times),
  );
  return remember(element, { label, notebook, students, runs, message, times });
}

function update({ store, t }, element, cell) {
  const part = partsOf(element);
  const students = cell.students.size;
  setText(part.label, cellLabel(cell, t));
  setText(part.notebook, notebookName(cell.notebookPath, t));
  show(part.notebook, store.notebooks.size > 1);
  setText(part.students.text, t.cells.of(cell.failingStudents, students));
  setVariable(part.students.element, "--share", students > 0 ? cell.failingStudents / students : 0);
  setText(part.runs.text, t.percent(cell.failedRuns / cell.runs));
  setAttribute(part.runs.element, "title", t.cells.of(cell.failedRuns, cell.runs));
  setVariable(part.runs.element, "--share", cell.failedRuns / cell.runs);
  const [message, count] = cell.messages[0] ?? ["", 0];
  setText(part.message, errorLine(message) || t.stuck.noMessage);
  setAttribute(part.message, "title", cell.messages.slice(0, 5).map(([text, times]) => `${t.cells.times(times)} ${errorLine(text)}`).join("\n"));
  const others = cell.messages.length - 1;
  setText(part.times, [count > 0 ? t.cells.times(count) : "", others > 0 ? t.cells.more(others) : ""].filter(Boolean).join(" "));
}
