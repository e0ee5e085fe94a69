// Students × cells: which student succeeded in which cell.

import { iconButton, setPressed } from "../components/buttons.js";
import { card, emptyState } from "../components/card.js";
import { legend } from "../components/legend.js";
import { h, setAttribute, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { notebookName } from "../names.js";
import { progressOf } from "../outline.js";
import { GridCanvas } from "./grid-canvas.js";
import { notebookToShow } from "./grid-choice.js";
import { columnsOf, countNotebooks, isOrder, orders, rows } from "./grid-model.js";
import { GridTable } from "./grid-table.js";

/** @import { Page, View } from "./list.js" */

/** The least time between two drawings of the table, in milliseconds: each one makes it again. */
const TABLE_PACE = 2_000;

/**
 * @param {Page} page
 * @returns {View}
 */
export default function grid(page) {
  const { store, clock, t, preferences } = page;
  const { notebookSelect, sortSelect, search, searchLabel } = controls(page);
  const { grid: choice } = page;
  const everyone = iconButton("rows", t.grid.overview, () => {
    preferences.set("gridOverview", !preferences.get("gridOverview"));
    draw();
  });
  const tableButton = iconButton("table", t.grid.table, () => {
    choice.asTable = !choice.asTable;
    draw();
  });
  const view = card(
    "grid",
    t.grid.heading,
    searchLabel,
    notebookSelect,
    sortSelect,
    everyone,
    tableButton,
  );
  const clear = { click: () => page.filter(null) };
  const filtered = h("button", { type: "button", class: "chip grid-filter", on: clear });
  setPressed(filtered, true);
  const fold = {
    click: () => {
      choice.isOpen = !choice.isOpen;
      draw();
    },
  };
  const folded = h("button", { type: "button", class: "chip grid-folded", on: fold });
  view.count.after(filtered, folded);
  const empty = emptyState("");
  const canvas = new GridCanvas(page);
  const table = new GridTable(page);
  const key = legend([
    ["outcome-ok", t.grid.legend.ok],
    ["outcome-mended", t.grid.legend.mended],
    ["outcome-failed", t.grid.legend.failed],
    ["outcome-none", t.grid.legend.none],
    ["current-cell", t.grid.legend.here],
  ]);
  const plannedKey = legend([
    ["legend-exercise", t.outline.exercise],
    ["legend-share", t.outline.share],
    ["legend-behind", t.outline.behind],
    ["legend-ahead", t.outline.ahead],
  ]);
  view.body.append(empty.element, canvas.element, table.element, key, plannedKey);

  /**
   * The path of the notebook that is shown; `null` is the name of cells without one.
   *
   * @type {string | null | undefined}
   */
  let notebook;
  let listedNotebooks = "";
  let tableDrawnAt = 0;
  /** Whether something has changed since the last drawing. */
  let isStale = false;
  sortSelect.addEventListener("change", () => {
    if (isOrder(sortSelect.value)) preferences.set("gridSort", sortSelect.value);
    draw();
  });
  search.value = choice.find;
  search.addEventListener("input", () => {
    choice.find = search.value;
    draw();
  });
  notebookSelect.addEventListener("change", () => {
    choice.notebook = JSON.parse(notebookSelect.value);
    draw();
  });

  /** @param {number} columns */
  function emptyText(columns) {
    if (store.rows.size > 0) return notebook === undefined ? t.grid.empty : t.grid.noMatch;
    // Who has prepared the lesson sees that its notebook was taken.
    return columns > 0 ? `${t.grid.nobody} ${t.grid.planned(columns)}` : t.grid.nobody;
  }

  function listNotebooks() {
    const counts = countNotebooks(store);
    const paths = [...counts.keys()];
    notebook = notebookToShow(counts, choice.notebook, notebook);
    const listed = JSON.stringify(paths);
    if (listed !== listedNotebooks && document.activeElement !== notebookSelect) {
      listedNotebooks = listed;
      const options = paths.map((path) =>
        h("option", { value: JSON.stringify(path) }, notebookName(path, t)),
      );
      notebookSelect.replaceChildren(...options);
    }
    if (notebook !== undefined) notebookSelect.value = JSON.stringify(notebook);
    show(notebookSelect, paths.length > 1);
  }

  function draw() {
    listNotebooks();
    const { status, focus } = page;
    const { asTable, isOpen, find } = choice;
    const now = clock.now();
    const found = columnsOf(store, notebook ?? null, { focus, now, isOpen });
    const shownColumns = notebook === undefined ? [] : found.columns;
    const order = preferences.get("gridSort");
    const shownRows = rows(store, { order, find, status, columns: shownColumns, focus, now });
    const inTeam = found.isPlanned ? focus.ofTeam(store.rows.values()) : [];
    const students = inTeam.map(({ student }) => student);
    const progress = found.isPlanned ? progressOf(students, found.columns) : null;
    const { added, hideAdded } = found.isPlanned ? t.outline : t.grid;
    show(folded, found.folded > 0);
    setText(folded, isOpen ? hideAdded : added(found.folded));
    setAttribute(folded, "title", found.isPlanned ? null : t.grid.rare);
    const visible = notebook !== undefined && shownRows.length > 0;
    show(empty.element, !visible);
    setText(empty.message, emptyText(shownColumns.length));
    show(canvas.element, visible && !asTable);
    show(table.element, visible && asTable);
    show(key, visible && !asTable);
    show(plannedKey, visible && !asTable && found.isPlanned);
    const hasExercises = shownColumns.some(({ planned }) => planned?.isExercise);
    show(/** @type {HTMLElement} */ (plannedKey.firstElementChild), hasExercises);
    show(filtered, status !== null);
    if (status !== null) setText(filtered, `${t.grid.filtered(t.status[status])} ×`);
    setPressed(everyone, preferences.get("gridOverview"));
    setPressed(tableButton, asTable);
    setText(view.count, shownRows.length);
    if (!visible) return;
    if (asTable) table.show(shownRows, shownColumns, progress);
    else canvas.show(shownRows, shownColumns, preferences.get("gridOverview"), progress);
  }

  return {
    element: view.element,
    slot: "board",
    restyle: () => canvas.restyle(),
    update(changes) {
      if (changes.filter) draw();
      else canvas.touch(changes.students);
    },
    // Rows and columns, and their order. They do not move under someone's pointer.
    updateCalmly(changes) {
      const isPassing = page.focus.minutes > 0 && changes.tick;
      isStale ||= changes.all || changes.students.size > 0 || changes.statuses || isPassing;
      // What is not drawn now is drawn with the next tick, also if nothing else changes.
      const isTable = !table.element.hidden;
      const waits =
        canvas.isPointedAt || (isTable && performance.now() - tableDrawnAt < TABLE_PACE);
      if (!isStale || (waits && !changes.all)) return;
      if (isTable) tableDrawnAt = performance.now();
      isStale = false;
      draw();
    },
  };
}

/** @param {Page} page */
function controls({ preferences, t }) {
  const notebookSelect = h("select", { "aria-label": t.grid.notebook });
  const sortSelect = h(
    "select",
    { "aria-label": t.grid.sort },
    orders.map((name) => h("option", { value: name }, t.grid.sorts[name])),
  );
  const order = preferences.get("gridSort");
  if (isOrder(order)) sortSelect.value = order;
  const search = h("input", {
    type: "search",
    placeholder: t.grid.find,
    "aria-label": t.grid.find,
    autocomplete: "off",
    spellcheck: "false",
  });
  const searchLabel = h("label", { class: "grid-search" }, icon("search"), search);
  return { notebookSelect, sortSelect, search, searchLabel };
}
