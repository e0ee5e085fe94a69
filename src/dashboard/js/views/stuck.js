// The students who are stuck: on which cell, with which error, how often and since when.

import { setPressed } from "../components/buttons.js";
import { card, emptyState } from "../components/card.js";
import { moreButton } from "../components/more.js";
import { concerns } from "../components/status.js";
import { studentButton } from "../components/student-button.js";
import { List, bdi, h, setAttribute, setText, show } from "../dom.js";
import { errorLine, placeLabel } from "../names.js";
import { streakName } from "../store.js";
import { StreakLookups } from "./stuck-lookups.js";

/**
 * @import { Text } from "../i18n.js"
 * @import { Row, Store } from "../store.js"
 * @import { Page, View } from "./list.js"
 */

/** So many students are shown until more are asked for. */
const FEW = 12;
/** The most cells that are named above the list. */
const MAX_CHIPS = 5;

/**
 * Students who are stuck on the same cell.
 *
 * @typedef {{ name: string, count: number, label: string }} CellGroup
 */

/**
 * @param {Page} page
 * @returns {View}
 */
export default function stuckList(page) {
  const { store, t } = page;
  const view = card("stuck", t.stuck.heading);
  const empty = emptyState(t.stuck.empty, { hint: "", good: true });
  const chips = h("div", { class: "stuck-chips", role: "group", "aria-label": t.stuck.filter });
  const list = h("ul", { class: "stuck-list" });
  const more = moreButton(t, { few: FEW, more: t.stuck.more }, draw);
  view.body.append(empty.element, chips, list, ...more.elements);
  const lookups = new StreakLookups(page);
  /**
   * The cell that the list is limited to.
   *
   * @type {string | null}
   */
  let only = null;

  /** @param {string} name */
  const choose = (name) => {
    only = only === name ? null : name;
    draw();
  };
  /** @type {List<CellGroup, ReturnType<typeof chip>>} */
  const cells = new List(chips, {
    key: (group) => group.name,
    create: (group) => chip(() => choose(group.name)),
    update: (item, group) => {
      setText(item.label, group.label);
      setText(item.count, t.number(group.count));
      setAttribute(item.element, "aria-label", t.stuck.at(group.label, t.students(group.count)));
      setAttribute(item.element, "title", t.stuck.at(group.label, t.students(group.count)));
      setPressed(item.element, only === group.name);
    },
  });
  /** @type {List<Row, StuckItem>} */
  const items = new List(list, {
    key: (row) => row.student.studentId,
    create: (row) => new StuckItem(page, row),
    update: (item, row) => item.update(row),
  });

  function draw() {
    const stuck = page.focus.ofTeam(store.withStatus("stuck")).sort(mostFailuresFirst);
    const groups = groupByCell(stuck, page);
    // Where everybody is stuck at another cell there is nothing to limit the list to.
    const isGrouped = groups.length > 1 && groups.length < stuck.length;
    if (!isGrouped || !groups.some((group) => group.name === only)) only = null;
    const chosen = only === null ? stuck : stuck.filter((row) => streakName(row.streak) === only);
    const shown = more.of(chosen);
    items.show(shown);
    cells.show(isGrouped ? groups.slice(0, MAX_CHIPS) : []);
    lookups.want(shown);
    setText(view.count, stuck.length);
    setText(empty.hint, t.stuck.emptyHint(store.state.settings.stuckAfter));
    show(empty.element, stuck.length === 0);
    show(chips, isGrouped);
    show(list, stuck.length > 0);
  }

  return {
    element: view.element,
    slot: "urgent",
    update(changes) {
      if (changes.filter || concerns(changes, "stuck")) draw();
      else if (changes.tick) for (const item of items.parts()) item.tick();
    },
  };
}

/** @param {() => void} click */
function chip(click) {
  const [label, count] = [bdi(), h("span", { class: "card-count" })];
  const button = { type: "button", class: "chip", on: { click } };
  return { element: h("button", button, label, count), label, count };
}

/**
 * Among equally many failures, the student who has been failing for longest comes first.
 *
 * @param {Row} a
 * @param {Row} b
 */
function mostFailuresFirst(a, b) {
  const [since, otherSince] = [a.failing?.since ?? Infinity, b.failing?.since ?? Infinity];
  return (
    (b.streak?.failures ?? 0) - (a.streak?.failures ?? 0) ||
    (since === otherSince ? 0 : since - otherSince) ||
    a.student.lastReceivedAt - b.student.lastReceivedAt
  );
}

/**
 * @param {Row[]} stuck
 * @param {Page} page
 */
function groupByCell(stuck, { store, t }) {
  /** @type {Map<string, CellGroup>} */
  const groups = new Map();
  for (const row of stuck) {
    const name = streakName(row.streak);
    const group = groups.get(name) ?? { name, count: 0, label: streakPlace(row, store, t) };
    group.count += 1;
    groups.set(name, group);
  }
  return [...groups.values()].sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
}

/**
 * Where a student fails. The student may have looked at another cell since.
 *
 * @param {Row} row
 * @param {Store} store
 * @param {Text} t
 */
function streakPlace({ streak }, store, t) {
  const nowhere = { notebookPath: null, cellId: null, cellIndex: null };
  return placeLabel(streak ?? nowhere, store, t);
}

class StuckItem {
  element;
  #page;
  #row;
  #count = h("span", { class: "failure-count" });
  #word = h("span", { class: "failure-word" });
  #name;
  #place = h("span", { class: "student-place" });
  #since = h("span", { class: "stuck-since" });
  #message = bdi("", { class: "error-message" });

  /**
   * @param {Page} page
   * @param {Row} row
   */
  constructor(page, row) {
    this.#page = page;
    this.#row = row;
    this.#name = studentButton(page, row.student.studentId);
    this.element = h(
      "li",
      { class: "stuck-item" },
      h("div", { class: "failure-box" }, this.#count, this.#word),
      h(
        "div",
        { class: "student-lines" },
        h("div", { class: "student-line" }, this.#name.element, this.#place, this.#since),
        h("div", { class: "student-line secondary-text" }, this.#message),
      ),
    );
  }

  /** @param {Row} row */
  update(row) {
    const { store, t } = this.#page;
    const { student, failing } = row;
    const failures = row.streak?.failures ?? 0;
    this.#row = row;
    setText(this.#count, t.stuck.times(failures));
    setAttribute(this.#count, "title", t.stuck.failed(failures));
    setText(this.#word, t.stuck.word[failures === 1 ? "one" : "other"]);
    this.#name.update(student);
    setText(this.#place, streakPlace(row, store, t));
    const found = failing === null ? t.stuck.loading : errorLine(failing.message);
    const message = found || t.stuck.noMessage;
    setText(this.#message, message);
    setAttribute(this.#message, "title", message);
    this.tick();
  }

  /** Writes how long the student has been failing. */
  tick() {
    const { clock, t } = this.#page;
    const since = this.#row.failing?.since;
    setText(this.#since, since ? t.for(t.span(clock.now() - since)) : "");
  }
}
