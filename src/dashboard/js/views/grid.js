// Students × cells: who succeeded where, live.

import { h, setAttribute, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { notebookName } from "../names.js";
import { card, emptyState } from "./common.js";
import { GridCanvas } from "./grid-canvas.js";
import { columns, notebooks, orders, rows } from "./grid-model.js";
import { GridTable } from "./grid-table.js";

/** How often the table, which is written anew, follows. */
const TABLE_PACE = 2_000;

export function grid(page) {
  const { store, t, preferences } = page;
  const notebook = h("select", { "aria-label": t.grid.notebook });
  const sort = h("select", { "aria-label": t.grid.sort }, orders.map((name) => h("option", { value: name }, t.grid.sorts[name])));
  const find = h("input", { type: "search", placeholder: t.grid.find, "aria-label": t.grid.find, autocomplete: "off", spellcheck: "false" });
  const toggle = (name, label) => h("button", { type: "button", class: "icon-button", title: label, "aria-label": label, "aria-pressed": "false" }, icon(name));
  const overview = toggle("rows", t.grid.overview);
  const asTable = toggle("table", t.grid.table);
  const view = card("grid", t.grid.heading, h("label", { class: "find" }, icon("search"), find), notebook, sort, overview, asTable);
  const filtered = h("button", { type: "button", class: "chip filtered", "aria-pressed": "true", on: { click: () => page.filter(null) } });
  view.count.after(filtered);
  const empty = emptyState("");
  const canvas = new GridCanvas(page);
  const table = new GridTable(page);
  const swatch = (name) => h("span", { class: `key ${name}` }, h("span", { class: "swatch", "aria-hidden": "true" }), t.grid.legend[name]);
  const legend = h("div", { class: "legend" }, ["ok", "mended", "failed", "none", "here"].map(swatch));
  view.body.append(empty, canvas.element, table.element, legend);

  let path;
  let known = "";
  let tableAt = 0;
  sort.value = preferences.gridSort;
  sort.addEventListener("change", () => {
    preferences.set("gridSort", sort.value);
    draw();
  });
  find.addEventListener("input", () => draw());
  notebook.addEventListener("change", () => {
    path = JSON.parse(notebook.value);
    draw();
  });
  overview.addEventListener("click", () => {
    preferences.set("gridOverview", !preferences.gridOverview);
    draw();
  });
  asTable.addEventListener("click", () => {
    setAttribute(asTable, "aria-pressed", String(asTable.getAttribute("aria-pressed") !== "true"));
    draw();
  });

  function chooseNotebook() {
    const paths = notebooks(store);
    if (!paths.includes(path)) path = paths[0];
    const text = JSON.stringify(paths);
    if (text !== known && document.activeElement !== notebook) {
      known = text;
      notebook.replaceChildren(...paths.map((other) => h("option", { value: JSON.stringify(other) }, notebookName(other, t))));
    }
    notebook.value = JSON.stringify(path);
    show(notebook, paths.length > 1);
    return paths.length > 0;
  }

  function draw() {
    const some = chooseNotebook();
    const wanted = columns(store, path);
    const shown = rows(store, { order: preferences.gridSort, find: find.value, status: page.status, columns: wanted });
    const tabular = asTable.getAttribute("aria-pressed") === "true";
    const visible = some && shown.length > 0;
    show(empty, !visible);
    setText(empty.firstElementChild, some ? t.grid.nobody : t.grid.empty);
    show(canvas.element, visible && !tabular);
    show(table.element, visible && tabular);
    show(legend, visible && !tabular);
    show(filtered, page.status !== null);
    if (page.status !== null) setText(filtered, `${t.grid.filtered(t.status[page.status])} ×`);
    setAttribute(overview, "aria-pressed", String(preferences.gridOverview));
    setText(view.count, shown.length);
    if (!visible) return;
    if (tabular) table.show(shown, wanted);
    else canvas.show(shown, wanted, preferences.gridOverview);
  }

  return {
    element: view.element,
    /** The page looks different: colours and sizes are read anew. */
    restyle: () => canvas.restyle(),
    redraw: draw,
    update(changes) {
      canvas.touch(changes.students);
    },
    /** Which rows and columns there are, and their order: calmly, and not under someone's pointer. */
    calmly(changes) {
      if (changes.all) return draw();
      const changed = changes.students.size > 0 || changes.statuses;
      if (!changed || canvas.isPointedAt) return undefined;
      if (table.element.hidden) return draw();
      if (performance.now() - tableAt < TABLE_PACE) return undefined;
      tableAt = performance.now();
      return draw();
    },
  };
}
