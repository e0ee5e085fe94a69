// One student at the side of the page: the status, the latest code and its result, and everything
// that happened before.

import { iconButton } from "../components/buttons.js";
import { statusMark } from "../components/status.js";
import { bdi, h, moveFocus, setAttribute, setText, show } from "../dom.js";
import { cellName } from "../fold.js";
import { icon } from "../icons.js";
import { cellLabel, placeLabel, studentName } from "../names.js";
import { LatestRun } from "./drawer-run.js";
import { Timeline } from "./drawer-timeline.js";
import { outcome, outcomeText } from "./grid-model.js";

/**
 * @import { Row } from "../store.js"
 * @import { Status, Student } from "../student.js"
 * @import { Page, View } from "./list.js"
 */

/**
 * The address of the extension's default settings. All who did not change them share it; the relay
 * tells them apart by session, `address#session`, where the extension names one.
 */
const DEFAULT_ADDRESS = "student001@example.com";
/** Below this width the drawer covers the page. */
const NARROW = window.matchMedia("(max-width: 45rem)");

/**
 * @param {Page} page
 * @returns {View}
 */
export default function drawer(page) {
  const dialog = h("dialog", { class: "drawer", "aria-labelledby": "drawer-name" });
  /** @type {StudentPanel | null} */
  let panel = null;
  /**
   * The element that had the focus before.
   *
   * @type {Element | null}
   */
  let opener = null;

  /** @param {string} studentId */
  function open(studentId) {
    if (!dialog.open) opener = document.activeElement;
    if (panel?.studentId !== studentId) {
      panel?.close();
      panel = new StudentPanel(page, studentId, () => dialog.close());
      dialog.replaceChildren(...panel.elements);
      dialog.scrollTop = 0;
    }
    if (!dialog.open) {
      if (NARROW.matches) dialog.showModal();
      else dialog.show();
    }
    page.opened(studentId);
    panel.focus();
  }

  dialog.addEventListener("close", () => {
    panel?.close();
    panel = null;
    page.opened(null);
    if (opener?.isConnected) moveFocus(opener);
    opener = null;
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    dialog.close();
  });

  return {
    element: dialog,
    slot: "side",
    open,
    update(changes) {
      if (panel === null) return;
      const row = page.store.rows.get(panel.studentId);
      if (changes.all || (row !== undefined && changes.students.has(row))) panel.update();
      if (changes.tick) panel.tick();
    },
    end: () => panel?.close(),
  };
}

/** The drawer's panel of a student. */
class StudentPanel {
  studentId;
  elements;
  #page;
  #name = bdi();
  #heading = h("h2", { id: "drawer-name", tabindex: "-1" }, this.#name);
  #status = h("span", { class: "drawer-status" });
  #place = h("span");
  /** @type {Status | null} */
  #drawnStatus = null;
  #facts = { id: bdi(), team: bdi(), lastHeard: bdi(), executed: bdi(), errors: bdi() };
  #cells;
  #run;
  #timeline;

  /**
   * @param {Page} page
   * @param {string} studentId
   * @param {() => void} close closes the drawer
   */
  constructor(page, studentId, close) {
    this.#page = page;
    this.studentId = studentId;
    const { t } = page;
    this.#cells = h("div", { class: "cell-strip", role: "list", "aria-label": t.drawer.cells });
    this.#run = new LatestRun(page);
    this.#timeline = new Timeline(page, studentId, (event) => this.#run.update(event));
    const facts = [
      this.#fact(t.drawer.id, this.#facts.id),
      this.#fact(t.drawer.team, this.#facts.team),
      this.#fact(t.drawer.lastHeard, this.#facts.lastHeard),
      this.#fact(t.drawer.executed, this.#facts.executed),
      this.#fact(t.drawer.errors, this.#facts.errors),
    ];
    const isShared = studentId === DEFAULT_ADDRESS;
    const isUnconfigured = studentId.startsWith(`${DEFAULT_ADDRESS}#`);
    const hidden = !isShared && !isUnconfigured;
    const warning = h("p", { class: "drawer-warning", hidden }, icon("warning"));
    warning.append(isUnconfigured ? t.drawer.unconfigured : t.drawer.shared);
    this.elements = [
      h(
        "header",
        { class: "drawer-header" },
        h("div", {}, this.#heading, this.#status),
        iconButton("close", t.drawer.close, close),
      ),
      h(
        "div",
        { class: "drawer-body" },
        warning,
        h("dl", { class: "student-facts" }, facts),
        this.#cells,
        this.#run.element,
        this.#timeline.element,
      ),
    ];
    this.update();
    this.tick();
  }

  /**
   * @param {string} name
   * @param {HTMLElement} value
   */
  #fact(name, value) {
    return h("div", {}, h("dt", {}, name), h("dd", {}, value));
  }

  /** Ends what the panel listens to. */
  close() {
    this.#timeline.close();
  }

  focus() {
    moveFocus(this.#heading);
  }

  /** `undefined` if the student is not in the class's state. */
  get #row() {
    return this.#page.store.rows.get(this.studentId);
  }

  update() {
    const { store, t } = this.#page;
    const row = this.#row;
    if (row === undefined) {
      setText(this.#name, this.studentId);
      return;
    }
    const { student } = row;
    const { consecutiveErrors } = student;
    setText(this.#name, studentName(student));
    this.#updateStatus(row);
    setText(this.#place, `${t.status[row.status]} · ${placeLabel(student, store, t)}`);
    setText(this.#facts.team, student.teamName ?? "–");
    setText(this.#facts.id, student.studentId);
    setText(this.#facts.executed, t.number(student.cellsExecuted));
    const streak = consecutiveErrors > 1 ? ` · ${t.drawer.inARow(consecutiveErrors)}` : "";
    setText(this.#facts.errors, `${t.number(student.errorCount)}${streak}`);
    this.#updateCells(student);
    this.#updateAge();
  }

  /** @param {Row} row */
  #updateStatus({ status }) {
    if (this.#drawnStatus === status) return;
    this.#drawnStatus = status;
    this.#status.replaceChildren(statusMark(status, this.#page.t), this.#place);
  }

  /**
   * Writes the cells of the student's notebook that the student ran.
   *
   * @param {Student} student
   */
  #updateCells(student) {
    const { store, t } = this.#page;
    const cells = store.state
      .orderedCells()
      .filter((cell) => cell.notebookPath === student.notebookPath && cell.students.has(student));
    show(this.#cells, cells.length > 0);
    while (this.#cells.children.length > cells.length) this.#cells.lastElementChild?.remove();
    while (this.#cells.children.length < cells.length) {
      const label = h("span", { "aria-hidden": "true" });
      this.#cells.append(h("span", { role: "listitem" }, label));
    }
    cells.forEach((cell, at) => {
      const runs = student.cells.get(cellName(cell.notebookPath, cell.cellId));
      const square = this.#cells.children[at];
      const text = `${cellLabel(cell, t)}: ${outcomeText(runs, t)}`;
      const current = cell.cellId === student.cellId ? " is-current" : "";
      setAttribute(square, "class", `cell-square outcome-${outcome(runs)}${current}`);
      if (square.firstElementChild !== null) {
        setText(square.firstElementChild, cell.cellIndex ?? "·");
      }
      setAttribute(square, "title", text);
      setAttribute(square, "aria-label", text);
    });
  }

  /** Is called once a second. */
  tick() {
    this.#updateAge();
    this.#timeline.tick();
  }

  #updateAge() {
    const { clock, t } = this.#page;
    const row = this.#row;
    if (row === undefined) return;
    setText(this.#facts.lastHeard, t.age(clock.now() - row.student.lastReceivedAt));
  }
}
