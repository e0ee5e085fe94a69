// Where the class is: how many students are at which cell now.

import { List, bdi, h, setAttribute, setText, setVariable, show } from "../dom.js";
import { cellName } from "../fold.js";
import { cellLabel, notebookName } from "../names.js";
import { MINUTE } from "../time.js";
import { card, countByStatus, describe, emptyState, partsOf, remember, statusBar } from "./common.js";

/** Who was not heard from for longer has left; where they stopped says nothing of where the class is. */
export const SILENT_AFTER = 10 * MINUTE;

export function classPlace(page) {
  const { store, clock, t } = page;
  const view = card("place", t.place.heading);
  const empty = emptyState(t.place.empty);
  const list = h("ol", { class: "places" });
  const note = h("p", { class: "note" }, t.place.recent);
  const others = h("p", { class: "note" });
  view.body.append(empty, list, note, others);

  const items = new List(list, {
    key: (place) => place.key,
    create: (place) => (place.heading ? h("li", { class: "place-heading" }, bdi()) : create(page)),
    update: (element, place) => {
      if (place.heading) setText(element.firstChild, notebookName(place.notebook, t));
      else update(page, element, place);
    },
  });

  function draw() {
    const places = new Map(
      store.state.orderedCells().map((cell) => [cellName(cell.notebookPath, cell.cellId), { cell, rows: [] }]),
    );
    const now = clock.now();
    let nowhere = 0;
    for (const row of store.rows.values()) {
      const { notebookPath, cellId, lastReceivedAt } = row.student;
      if (now - lastReceivedAt >= SILENT_AFTER) continue;
      const place = cellId === null ? undefined : places.get(cellName(notebookPath, cellId));
      if (place === undefined) nowhere += 1;
      else place.rows.push(row);
    }
    const shown = withHeadings(trim([...places.values()]));
    items.show(shown);
    show(empty, shown.length === 0);
    show(note, shown.length > 0);
    show(others, nowhere > 0);
    setText(others, t.place.others(nowhere));
  }

  return {
    element: view.element,
    calm: true,
    update(changes) {
      if (changes.all || changes.statuses || changes.students.size > 0) draw();
    },
  };
}

/** Without those that hardly anyone ever ran, and where nobody is. */
function trim(places) {
  const here = places.filter(({ rows }) => rows.length > 0);
  const most = Math.max(0, ...here.map(({ rows }) => rows.length));
  const total = here.reduce((sum, { rows }) => sum + rows.length, 0);
  const widest = Math.max(1, ...places.map(({ cell }) => cell.students.size));
  // Students add cells of their own: an empty one is worth a line only if it is the class's.
  const worth = places.filter(({ cell, rows }) => rows.length > 0 || cell.students.size >= widest / 4);
  let seen = 0;
  return worth.map((place) => {
    const before = seen;
    seen += place.rows.length;
    return { ...place, most, median: before < total / 2 && seen >= total / 2 };
  });
}

function withHeadings(places) {
  const several = new Set(places.map(({ cell }) => cell.notebookPath)).size > 1;
  const shown = [];
  let notebook;
  for (const place of places) {
    const { notebookPath, cellId } = place.cell;
    if (several && notebookPath !== notebook) shown.push({ heading: true, notebook: notebookPath, key: `\0${notebookPath}` });
    notebook = notebookPath;
    shown.push({ ...place, key: cellName(notebookPath, cellId) });
  }
  return shown;
}

function create({ t }) {
  const label = bdi("", { class: "cell-name" });
  const bar = statusBar(t);
  const count = h("span", { class: "number" });
  const median = h("span", { class: "median", title: t.place.median }, h("span", { class: "sr" }, t.place.median));
  const element = h("li", { class: "place-item" }, label, h("div", { class: "track" }, bar.element), count, median);
  return remember(element, { label, bar, count, median });
}

function update({ t }, element, place) {
  const part = partsOf(element);
  const counts = countByStatus(place.rows);
  const total = place.rows.length;
  const label = cellLabel(place.cell, t);
  setText(part.label, label);
  setText(part.count, total);
  setVariable(part.bar.element, "--length", place.most > 0 ? total / place.most : 0);
  part.bar.update(counts, total, t.place.here(label, t.students(total), describe(counts, t)));
  show(part.median, place.median);
  setAttribute(element, "class", total === 0 ? "place-item nobody" : "place-item");
}
