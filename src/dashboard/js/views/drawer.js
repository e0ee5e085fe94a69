// One student at the side of the page: the status, the latest code and its result, and everything
// that happened before.

import { iconButton } from "../components/buttons.js";
import { PanelDialog } from "../components/panel-dialog.js";
import { statusMark } from "../components/status.js";
import { bdi, h, moveFocus, setAttribute, setText, show } from "../dom.js";
import { cellName } from "../cell.js";
import { icon } from "../icons.js";
import { cellLabel, cellNumber, placeLabel, studentName } from "../names.js";
import { LatestRun } from "./drawer-run.js";
import { Timeline } from "./drawer-timeline.js";
import { outcome, outcomeText } from "./grid-model.js";

/**
 * @import { Cell } from "../cell.js"
 * @import { Row } from "../store.js"
 * @import { Status, Student } from "../student.js"
 * @import { Page, Place, View } from "./list.js"
 */

/** Below this width the drawer covers the page. */
const NARROW = window.matchMedia("(max-width: 45rem)");

/**
 * @param {Page} page
 * @returns {View}
 */
export default function drawer(page) {
  /** @type {PanelDialog<StudentPanel>} */
  const dialog = new PanelDialog("drawer", "drawer-name", () => page.opened(null));
  const { element } = dialog;

  /**
   * @param {string} studentId
   * @param {Place} [place] whose latest run is to be shown
   */
  function open(studentId, place) {
    let { panel } = dialog;
    if (panel?.studentId !== studentId) {
      panel = new StudentPanel(page, studentId, () => dialog.close());
      dialog.hold(panel);
    }
    // Over a dialog that covers the page, only another one of its kind can be seen.
    dialog.open(NARROW.matches || document.querySelector("dialog:modal") !== null);
    page.opened(studentId);
    if (place !== undefined) panel.choose(place);
    panel.focus();
  }

  return {
    element,
    slot: "side",
    open,
    openCell: () => dialog.close(),
    update(changes) {
      const { panel } = dialog;
      if (panel === null) return;
      const row = page.store.rows.get(panel.studentId);
      if (changes.all || (row !== undefined && changes.students.has(row))) panel.update();
      if (changes.tick) panel.tick();
      if (changes.all || changes.presence) panel.updateViewers();
    },
    end: () => dialog.end(),
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
  #unconfigured;
  #message = bdi("", { class: "help-message", dir: "auto" });
  #viewers = h("p", { class: "viewers", role: "status" });
  #cells;
  /** @type {Cell[]} */
  #drawnCells = [];
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
    this.#run = new LatestRun(page, () => this.#timeline.choose(null));
    this.#timeline = new Timeline(page, studentId, (event, isLatest) =>
      this.#run.update(event, isLatest),
    );
    const facts = [
      this.#fact(t.drawer.id, this.#facts.id),
      this.#fact(t.drawer.team, this.#facts.team),
      this.#fact(t.drawer.lastHeard, this.#facts.lastHeard),
      this.#fact(t.drawer.executed, this.#facts.executed),
      this.#fact(t.drawer.errors, this.#facts.errors),
    ];
    this.#unconfigured = h("p", { class: "drawer-warning", hidden: true }, icon("warning"));
    this.#unconfigured.append(`${t.unconfigured.mark}. ${t.unconfigured.tell}`);
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
        this.#viewers,
        this.#unconfigured,
        this.#message,
        h("dl", { class: "student-facts" }, facts),
        this.#cells,
        this.#run.element,
        this.#timeline.element,
      ),
    ];
    this.update();
    this.updateViewers();
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

  /** @param {Place} place whose latest run is to be shown */
  choose(place) {
    this.#timeline.chooseCell(place);
  }

  /** `undefined` if the student is not in the class's state. */
  get #row() {
    return this.#page.store.rows.get(this.studentId);
  }

  update() {
    const { store, t } = this.#page;
    const row = this.#row;
    if (row === undefined) {
      this.#updateAbsent();
      return;
    }
    const { student } = row;
    const failures = row.streak?.failures ?? 0;
    setText(this.#name, studentName(student));
    show(this.#unconfigured, student.unconfigured);
    this.#updateStatus(row);
    this.#updateMessage(row);
    setText(this.#place, `${t.status[row.status]} · ${placeLabel(student, store, t)}`);
    setText(this.#facts.team, student.teamName ?? "–");
    setText(this.#facts.id, student.studentId);
    setText(this.#facts.executed, t.number(student.cellsExecuted));
    const streak = failures > 1 ? ` · ${t.drawer.inARow(failures)}` : "";
    setText(this.#facts.errors, `${t.number(student.errorCount)}${streak}`);
    this.#updateCells(student);
    this.#updateAge();
  }

  /** Writes which other instructors look at the student. */
  updateViewers() {
    const { presence, t } = this.#page;
    const viewers = presence.viewersOf(this.studentId);
    setText(this.#viewers, viewers.length > 0 ? t.presence.looking(viewers) : "");
    show(this.#viewers, viewers.length > 0);
  }

  /** Writes what is known of somebody who is not here. */
  #updateAbsent() {
    const { store, t } = this.#page;
    const absent = store.absent().find(({ studentId }) => studentId === this.studentId);
    const lastSeen = absent?.lastReceivedAt ?? null;
    this.#drawnStatus = null;
    setText(this.#name, absent === undefined ? this.studentId : studentName(absent));
    this.#status.replaceChildren(absent === undefined ? "" : t.absent.heading);
    setText(this.#facts.team, absent?.teamName ?? "–");
    setText(this.#facts.id, this.studentId);
    setText(this.#facts.lastHeard, lastSeen === null ? "–" : t.dateTime(lastSeen));
    setText(this.#facts.executed, "–");
    setText(this.#facts.errors, "–");
    show(this.#cells, false);
    show(this.#message, false);
  }

  /** @param {Row} row */
  #updateStatus({ status }) {
    if (this.#drawnStatus === status) return;
    this.#drawnStatus = status;
    this.#status.replaceChildren(statusMark(status, this.#page.t), this.#place);
  }

  /**
   * Writes what the student wrote with the hand, while it is up.
   *
   * @param {Row} row
   */
  #updateMessage({ status, student }) {
    const message = status === "help" ? (student.helpMessage ?? "") : "";
    setText(this.#message, message);
    show(this.#message, message.trim() !== "");
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
    this.#drawnCells = cells;
    while (this.#cells.children.length < cells.length) {
      const at = this.#cells.children.length;
      const click = () => this.choose(this.#drawnCells[at]);
      this.#cells.append(
        h("span", { role: "listitem" }, h("button", { type: "button", on: { click } })),
      );
    }
    cells.forEach((cell, at) => {
      const runs = student.cells.get(cellName(cell.notebookPath, cell.cellId));
      const square = this.#cells.children[at].firstElementChild;
      if (square === null) return;
      const text = `${cellLabel(cell, t)}: ${outcomeText(runs, t)}`;
      const current = cell.cellId === student.cellId ? " is-current" : "";
      setAttribute(square, "class", `cell-square outcome-${outcome(runs)}${current}`);
      setText(square, cellNumber(cell) ?? "·");
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
