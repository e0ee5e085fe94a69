// One cell, all students: everyone's latest code and result, equal answers as one. It is made for a
// projector too: names can be left out.

import { MAX_ANSWERS, Answers, answerOrders } from "../answers.js";
import { api } from "../api.js";
import { cellName } from "../cell.js";
import { iconButton, segmentedControl } from "../components/buttons.js";
import { PanelDialog } from "../components/panel-dialog.js";
import { List, bdi, h, moveFocus, setText, show } from "../dom.js";
import { notebookOf } from "../matching.js";
import { cellLabel, notebookName } from "../names.js";
import { normalize } from "../normalize.js";
import { cellOutline } from "../outline.js";
import { AnswerGroup } from "./one-cell-group.js";

/**
 * @import { Group } from "../answers.js"
 * @import { Page, Place, View } from "./list.js"
 */

/** The number of events that are read at a time. */
const PAGE = 200;
/** So many groups are shown until more are asked for. */
const FEW = 30;

/**
 * @param {Page} page
 * @returns {View}
 */
export default function oneCell(page) {
  /** @type {PanelDialog<CellPanel>} */
  const dialog = new PanelDialog("one-cell", "one-cell-heading", () => page.openedCell(null));
  const { element } = dialog;
  return {
    element,
    slot: "side",
    openCell(place) {
      const panel = new CellPanel(page, place, () => dialog.close());
      dialog.hold(panel);
      dialog.open(true);
      page.openedCell(place);
      panel.focus();
    },
    updateCalmly(changes) {
      if (changes.all || changes.filter || changes.students.size > 0) dialog.panel?.draw();
    },
    end: () => dialog.end(),
  };
}

class CellPanel {
  elements;
  #page;
  #place;
  #answers = new Answers();
  #abort = new AbortController();
  #unwatch;
  #heading = h("h2", { id: "one-cell-heading", tabindex: "-1" });
  #title = bdi("", { class: "one-cell-title" });
  #counts = h("p", { class: "one-cell-counts", role: "status" });
  #note = h("p", { class: "note", hidden: true });
  #retry;
  #more;
  #list;
  #all = false;
  /** The cell's place in its notebook, by which it is found under other settings. */
  #cellIndex = /** @type {number | null} */ (null);
  /** Whether the answers, or what is chosen of them, have changed since they were grouped. */
  #changed = true;
  /** How many students have run the cell, and how many of those failed. */
  #answered = { all: 0, failures: 0 };

  /**
   * @param {Page} page
   * @param {Place} place
   * @param {() => void} close closes the dialog
   */
  constructor(page, place, close) {
    this.#page = page;
    this.#place = place;
    const { t, preferences } = page;
    const redraw = () => {
      this.#changed = true;
      this.draw();
    };
    const options = answerOrders.map((value) => ({ value, text: t.oneCell.orders[value] }));
    const order = segmentedControl(t.oneCell.order, options, (chosen) => {
      preferences.set("answerOrder", chosen);
      order.update(chosen);
      redraw();
    });
    order.update(preferences.get("answerOrder"));
    const change = () => {
      preferences.set("answerNames", names.checked);
      redraw();
    };
    const names = h("input", { type: "checkbox", on: { change } });
    // On a projector nobody's name is shown before it is asked for.
    names.checked = preferences.get("answerNames") && !preferences.get("projector");
    const text = { type: "button", class: "text-button", hidden: true };
    this.#retry = h("button", { ...text, on: { click: () => this.#read() } }, t.drawer.retry);
    const showAll = () => {
      this.#all = true;
      redraw();
    };
    this.#more = h("button", { ...text, on: { click: showAll } });
    const list = h("ol", { class: "answer-list" });
    /** @type {List<Group, AnswerGroup>} */
    this.#list = new List(list, {
      key: (group) => group.key,
      create: () => new AnswerGroup(page, this.#place),
      update: (item, group) => item.update(group, names.checked),
    });
    this.elements = [
      h(
        "header",
        { class: "one-cell-header" },
        h("div", {}, this.#heading, this.#title),
        h(
          "div",
          { class: "one-cell-controls" },
          h("label", { class: "checkbox" }, names, t.oneCell.names),
          order.element,
        ),
        iconButton("close", t.drawer.close, close),
      ),
      h("div", { class: "one-cell-body" }, this.#counts, this.#note, this.#retry, list, this.#more),
    ];
    this.#unwatch = page.store.watch({
      event: (delivered, folded) => {
        if (folded?.began) this.#startAgain();
        if (folded === null || folded.cell === null) return;
        const { notebookPath, cellId } = folded.cell;
        if (cellName(notebookPath, cellId) !== this.#name) return;
        this.#answers.add(delivered, folded.event);
        this.#changed = true;
      },
      reloaded: () => {
        this.#follow();
        this.#startAgain();
        this.#read();
      },
    });
    this.draw();
    this.#read();
  }

  get #name() {
    return cellName(this.#place.notebookPath, this.#place.cellId);
  }

  focus() {
    moveFocus(this.#heading);
  }

  close() {
    this.#abort.abort();
    this.#unwatch();
  }

  /** Finds the cell again, if the class knows it by another name now: its settings have changed. */
  #follow() {
    const { state } = this.#page.store;
    if (state.cells.has(this.#name) || this.#cellIndex === null) return;
    const notebook = notebookOf(this.#place.notebookPath, state.settings);
    const same = [...state.cells.values()].filter(
      (cell) => cell.notebookPath === notebook && cell.cellIndex === this.#cellIndex,
    );
    const [most] = same.sort((a, b) => b.students.size - a.students.size);
    if (most === undefined) return;
    this.#place = most;
    this.#page.openedCell(most);
    // What is shown leads to the cell by the name of before.
    this.#list.show([]);
  }

  #startAgain() {
    this.#answers = new Answers();
    this.#changed = true;
  }

  /** Reads everyone's latest run, a part at a time. */
  async #read() {
    const { t, classId, store } = this.#page;
    this.#abort.abort();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const answers = this.#answers;
    setText(this.#note, t.drawer.loading);
    show(this.#note, true);
    show(this.#retry, false);
    try {
      /** @type {number | undefined} */
      let before;
      do {
        const lesson = this.#page.lessonId ?? undefined;
        const options = { before, limit: PAGE, lesson, signal };
        const answer = await api.latestRuns(classId, this.#place, options);
        for (const delivered of answer.events) {
          answers.add(delivered, normalize(delivered, store.state.settings));
        }
        before = answer.next;
        this.#changed = true;
        this.draw();
      } while (before !== undefined && !answers.isFull);
      setText(this.#note, t.oneCell.full(MAX_ANSWERS));
      show(this.#note, answers.isFull);
    } catch {
      if (signal.aborted) return;
      setText(this.#note, t.drawer.failed);
      show(this.#retry, true);
    }
  }

  draw() {
    if (this.#changed) this.#drawAnswers();
    const { store, t, focus } = this.#page;
    const { all, failures } = this.#answered;
    // Students come who have not run the cell.
    const here = [...store.rows.values()].filter(({ student }) => focus.hasTeam(student)).length;
    setText(this.#counts, t.oneCell.counts(all, Math.max(all, here), failures));
  }

  #drawAnswers() {
    this.#changed = false;
    const { store, t, focus, preferences } = this.#page;
    const { notebookPath, cellId } = this.#place;
    const known = store.state.cells.get(this.#name);
    const planned = cellOutline(store.state.settings, this.#place);
    const cellIndex = known?.cellIndex ?? planned?.cellIndex ?? null;
    this.#cellIndex = cellIndex;
    setText(this.#heading, cellLabel({ cellId, cellIndex }, t));
    const notebook = store.notebooks.size > 1 ? notebookName(notebookPath, t) : "";
    const parts = [...(planned?.headings ?? []).slice(-1), planned?.title ?? "", notebook];
    setText(this.#title, parts.filter(Boolean).join(" · "));
    const wanted = (/** @type {string} */ studentId) => {
      const row = store.rows.get(studentId);
      return row === undefined ? focus.team === null : focus.hasTeam(row.student);
    };
    const groups = this.#answers.groups(preferences.get("answerOrder"), wanted);
    const count = (/** @type {boolean} */ failed) =>
      groups.reduce((sum, group) => sum + (group.failed === failed ? group.size : 0), 0);
    this.#answered = { all: count(true) + count(false), failures: count(true) };
    this.#list.show(this.#all ? groups : groups.slice(0, FEW));
    show(this.#more, !this.#all && groups.length > FEW);
    setText(this.#more, t.oneCell.more(groups.length - FEW));
  }
}
