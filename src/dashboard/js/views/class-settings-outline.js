// The part of the class's settings that holds the outline: the lesson's notebooks, as they are
// handed out.

import { iconButton } from "../components/buttons.js";
import { bytesOf, fileDrop } from "../components/file-drop.js";
import { bdi, h, setText } from "../dom.js";
import { MAX_FILE, MAX_NOTEBOOKS, readNotebookFile } from "../notebook.js";
import { problemText } from "./class-settings-counting.js";

/**
 * @import { OutlineCell, OutlineNotebook } from "../notebook.js"
 * @import { SettingsPart } from "./class-settings.js"
 * @import { Page } from "./list.js"
 */

/**
 * @param {Page} page
 * @returns {SettingsPart}
 */
export function outlinePart(page) {
  const { t } = page;
  /** @type {OutlineNotebook[]} */
  let outline = [];
  const state = h("p", { role: "status" });
  const list = h("div", { class: "outline-list" });
  const problem = problemText();
  const drop = fileDrop(
    {
      name: "outline-drop",
      label: t.outlineSettings.choose,
      hint: t.outlineSettings.hint,
      accept: ".ipynb,application/json",
      multiple: true,
    },
    take,
  );
  const element = h(
    "fieldset",
    { class: "settings-part outline-part" },
    h("legend", {}, t.outlineSettings.heading),
    drop,
    problem.element,
    state,
    list,
  );

  /** @param {File[]} files */
  async function take(files) {
    problem.say("");
    const faults = [];
    const names = new Set();
    for (const file of files) {
      const read = await readFile(file);
      const fault = "fault" in read ? read.fault : names.has(file.name) ? "twice" : null;
      names.add(file.name);
      if (fault !== null) faults.push(t.outlineSettings.fault(file.name, fault));
      else if ("notebook" in read && !put(read.notebook))
        faults.push(t.outlineSettings.full(MAX_NOTEBOOKS));
    }
    problem.say(faults.join(" "));
    draw();
  }

  /**
   * @param {File} file
   * @returns {Promise<ReturnType<typeof readNotebookFile>>}
   */
  async function readFile(file) {
    const bytes = await bytesOf(file, MAX_FILE);
    if (bytes === null) return { fault: "unreadable" };
    return readNotebookFile(bytes, pathOf(file.name, page));
  }

  /**
   * Adds a notebook, or replaces the one of its path.
   *
   * @param {OutlineNotebook} notebook
   */
  function put(notebook) {
    const at = outline.findIndex((other) => other.notebook === notebook.notebook);
    if (at < 0 && outline.length >= MAX_NOTEBOOKS) return false;
    if (at < 0) outline.push(notebook);
    else outline[at] = notebook;
    return true;
  }

  function draw() {
    setText(state, outline.length === 0 ? t.outlineSettings.none : t.outlineSettings.exercises);
    list.replaceChildren(...outline.map(item));
  }

  /** @param {OutlineNotebook} notebook */
  function item(notebook) {
    const count = h("span", { class: "hint" });
    const recount = () => {
      const exercises = notebook.cells.filter(({ exercise }) => exercise === true).length;
      setText(count, t.outlineSettings.count(notebook.cells.length, exercises));
    };
    recount();
    function rename() {
      notebook.notebook = path.value.trim() || notebook.notebook;
    }
    const path = h("input", {
      type: "text",
      "aria-label": t.outlineSettings.path,
      title: t.outlineSettings.path,
      value: notebook.notebook,
      // At once: another file may be dropped while this one's path is written.
      on: { input: rename, change: rename },
    });
    const remove = iconButton("close", t.outlineSettings.remove(notebook.notebook), () => {
      outline = outline.filter((other) => other !== notebook);
      draw();
      drop.querySelector("input")?.focus();
    });
    const cells = h("details", { class: "outline-cells" }, h("summary", {}, count));
    // A notebook may have thousands of cells: they are drawn when somebody looks.
    cells.addEventListener("toggle", () => {
      if (cells.childElementCount === 1) cells.append(cellList(notebook, recount));
    });
    return h("div", { class: "outline-item" }, path, remove, cells);
  }

  /**
   * @param {OutlineNotebook} notebook
   * @param {() => void} changed
   */
  function cellList(notebook, changed) {
    let above = "";
    const items = notebook.cells.flatMap((cell) => {
      const headings = (cell.headings ?? []).join(" › ");
      const isNew = headings !== above;
      above = headings;
      return [isNew ? h("li", { class: "outline-heading" }, bdi(headings)) : null, box(cell)];
    });
    return h("ol", {}, items);

    /** @param {OutlineCell} cell */
    function box(cell) {
      const label = cell.index === undefined ? (cell.id ?? "") : t.cell(cell.index + 1);
      const input = h("input", {
        type: "checkbox",
        "aria-label": t.outlineSettings.exercise(label),
        checked: cell.exercise === true,
        on: {
          change: () => {
            cell.exercise = input.checked || undefined;
            changed();
          },
        },
      });
      const title = h("code", {}, bdi(cell.title ?? ""));
      return h("li", {}, h("label", { class: "checkbox" }, input, h("span", {}, label), title));
    }
  }

  return {
    element,
    members: ["outline"],
    show({ outline: written }) {
      // The relay has checked it.
      outline = Array.isArray(written) ? structuredClone(written) : [];
      problem.say("");
      draw();
    },
    read: () => ({ outline: outline.length > 0 ? outline : undefined }),
    say: problem.say,
    take,
  };
}

/**
 * The path by which the class has a file, as far as it is known.
 *
 * @param {string} name
 * @param {Page} page
 */
function pathOf(name, { store }) {
  const known = [...store.notebooks].filter((path) => path?.endsWith(`/${name}`));
  return store.notebooks.has(name) || known.length !== 1 ? name : (known[0] ?? name);
}
