// Where the class is: how many students are at which cell.

import { card, emptyState } from "../components/card.js";
import { countByStatus, describe, statusBar } from "../components/status.js";
import { List, bdi, h, setAttribute, setText, setVariable, show } from "../dom.js";
import { cellName } from "../cell.js";
import { cellLabel, notebookName } from "../names.js";
import { SILENT_AFTER } from "./silent.js";

/**
 * @import { Cell } from "../cell.js"
 * @import { Row } from "../store.js"
 * @import { Page, View } from "./list.js"
 */

/**
 * Students add cells that no other student has. A cell at which no student is has a line if its
 * students are at least this share of those of the most common cell.
 */
const COMMON_SHARE = 1 / 4;

/**
 * A cell and the students that are at it.
 *
 * @typedef {{ cell: Cell, rows: Row[] }} Place
 */

/**
 * @typedef {object} PlaceLine
 * @property {string} key
 * @property {Place} place
 * @property {number} most the number of students at the fullest place
 * @property {boolean} isMedian whether half of the students are at this cell or before it
 */

/** @typedef {{ key: string, notebook: string | null }} HeadingLine */

/**
 * @param {Page} page
 * @returns {View}
 */
export default function classPlace(page) {
  const { store, clock, t } = page;
  const view = card("place", t.place.heading);
  const empty = emptyState(t.place.empty);
  const list = h("ol", { class: "place-list" });
  const note = h("p", { class: "note" }, t.place.recent);
  const others = h("p", { class: "note" });
  view.body.append(empty.element, list, note, others);

  /** @type {List<PlaceLine | HeadingLine, PlaceItem | PlaceHeading>} */
  const items = new List(list, {
    key: (line) => line.key,
    create: (line) => ("place" in line ? new PlaceItem(page) : new PlaceHeading(page)),
    update(item, line) {
      if ("place" in line && item instanceof PlaceItem) item.update(line);
      else if ("notebook" in line && item instanceof PlaceHeading) item.update(line);
    },
  });

  /** When the next student falls silent, if nothing more is heard. */
  let silentAt = Infinity;

  function draw() {
    silentAt = Infinity;
    /** @type {Map<string, Place>} */
    const places = new Map();
    for (const cell of store.state.orderedCells()) {
      places.set(cellName(cell.notebookPath, cell.cellId), { cell, rows: [] });
    }
    const now = clock.now();
    let nowhere = 0;
    for (const row of page.focus.ofTeam(store.rows.values())) {
      const { notebookPath, cellId, lastReceivedAt } = row.student;
      // Where a student stopped who is silent says nothing about where the class is.
      if (now - lastReceivedAt >= SILENT_AFTER) continue;
      silentAt = Math.min(silentAt, lastReceivedAt + SILENT_AFTER);
      const place = cellId === null ? undefined : places.get(cellName(notebookPath, cellId));
      if (place === undefined) nowhere += 1;
      else place.rows.push(row);
    }
    const lines = withHeadings(linesOf([...places.values()]));
    items.show(lines);
    const isQuiet = places.size > 0 && nowhere === 0;
    setText(empty.message, isQuiet ? t.place.quiet : t.place.empty);
    show(empty.element, lines.length === 0 && (isQuiet || places.size === 0));
    show(note, lines.length > 0);
    show(others, nowhere > 0);
    setText(others, t.place.others(nowhere));
  }

  return {
    element: view.element,
    slot: "board",
    updateCalmly(changes) {
      const changed = changes.all || changes.filter || changes.statuses;
      if (changed || changes.students.size > 0 || clock.now() >= silentAt) draw();
    },
  };
}

/**
 * The lines of places where students are, and of cells that are common, but for those that the
 * whole class has left behind.
 *
 * @param {Place[]} places
 * @returns {PlaceLine[]}
 */
function linesOf(places) {
  const most = Math.max(0, ...places.map(({ rows }) => rows.length));
  const total = places.reduce((sum, { rows }) => sum + rows.length, 0);
  const common = Math.max(1, ...places.map(({ cell }) => cell.students.size)) * COMMON_SHARE;
  const first = places.findIndex(({ rows }) => rows.length > 0);
  const shown = places.filter(
    ({ cell, rows }, at) =>
      rows.length > 0 || (first >= 0 && at > first && cell.students.size >= common),
  );
  let counted = 0;
  return shown.map((place) => {
    const before = counted;
    counted += place.rows.length;
    const key = cellName(place.cell.notebookPath, place.cell.cellId);
    return { key, place, most, isMedian: before < total / 2 && counted >= total / 2 };
  });
}

/** @param {PlaceLine[]} lines */
function withHeadings(lines) {
  const notebooks = new Set(lines.map(({ place }) => place.cell.notebookPath));
  if (notebooks.size <= 1) return lines;
  /** @type {(PlaceLine | HeadingLine)[]} */
  const all = [];
  /** @type {string | null | undefined} */
  let last;
  for (const line of lines) {
    const notebook = line.place.cell.notebookPath;
    // No cell's key begins like this.
    if (notebook !== last) all.push({ key: `\0${notebook}`, notebook });
    last = notebook;
    all.push(line);
  }
  return all;
}

class PlaceHeading {
  #name = bdi();
  element = h("li", { class: "place-heading" }, this.#name);
  #t;

  /** @param {Page} page */
  constructor({ t }) {
    this.#t = t;
  }

  /** @param {HeadingLine} line */
  update({ notebook }) {
    setText(this.#name, notebookName(notebook, this.#t));
  }
}

class PlaceItem {
  element;
  #t;
  #label = bdi("", { class: "cell-label" });
  #bar;
  #count = h("span", { class: "place-count" });
  #median;

  /** @param {Page} page */
  constructor({ t }) {
    this.#t = t;
    this.#bar = statusBar(t);
    const text = h("span", { class: "visually-hidden" }, t.place.median);
    this.#median = h("span", { class: "place-median", title: t.place.median }, text);
    this.element = h(
      "li",
      { class: "place-item" },
      this.#label,
      h("div", { class: "place-track" }, this.#bar.element),
      this.#count,
      this.#median,
    );
  }

  /** @param {PlaceLine} line */
  update({ place: { cell, rows }, most, isMedian }) {
    const t = this.#t;
    const counts = countByStatus(rows);
    const total = rows.length;
    const label = cellLabel(cell, t);
    setText(this.#label, label);
    setText(this.#count, total);
    setVariable(this.#bar.element, "--length", most > 0 ? total / most : 0);
    this.#bar.update(counts, total, t.place.here(label, t.students(total), describe(counts, t)));
    show(this.#median, isMedian);
    setAttribute(this.element, "class", total === 0 ? "place-item is-empty" : "place-item");
  }
}
