// The help queue: the students whose hand is up, the longest waiting first.

import { card, emptyState } from "../components/card.js";
import { concerns } from "../components/status.js";
import { studentButton } from "../components/student-button.js";
import { api } from "../api.js";
import { List, bdi, h, setAttribute, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { placeLabel, studentName } from "../names.js";
import { MINUTE } from "../time.js";

/**
 * @import { Row } from "../store.js"
 * @import { Page, View } from "./list.js"
 */

/** From this wait on the queue warns. */
const LONG_WAIT = 5 * MINUTE;

/**
 * @param {Page} page
 * @returns {View}
 */
export default function helpQueue(page) {
  const { store, t } = page;
  const view = card("help", t.help.heading);
  const empty = emptyState(t.help.empty, { hint: t.help.emptyHint, good: true });
  const list = h("ol", { class: "help-list" });
  // Screen readers are told each hand here: they would read the whole queue again at every second.
  const announcer = h("p", { class: "visually-hidden", "aria-live": "polite" });
  view.body.append(empty.element, list, announcer);
  view.element.tabIndex = -1;

  /** @type {List<Row, HelpItem>} */
  const items = new List(list, {
    key: (row) => row.student.studentId,
    create: (row) => new HelpItem(page, row),
    update: (item, row) => item.update(row),
  });

  function draw() {
    const queue = store.withStatus("help").sort((a, b) => raisedAt(a) - raisedAt(b));
    items.show(queue);
    setText(view.count, queue.length);
    show(empty.element, queue.length === 0);
    show(list, queue.length > 0);
    view.element.classList.toggle("has-hands", queue.length > 0);
  }

  return {
    element: view.element,
    slot: "urgent",
    update(changes) {
      const names = changes.raised.map((row) => studentName(row.student));
      if (names.length > 0) setText(announcer, t.help.raised(names.join(", ")));
      if (concerns(changes, "help")) draw();
      else if (changes.tick) for (const item of items.parts()) item.tick();
    },
  };
}

/** @param {Row} row */
function raisedAt({ student }) {
  return student.helpSince ?? student.lastReceivedAt;
}

class HelpItem {
  element;
  #page;
  #row;
  #since = -Infinity;
  #wait = h("time", { class: "help-wait-time" });
  #warning;
  #name;
  #team = bdi("", { class: "student-team" });
  #place = h("span", { class: "student-place" });
  #streak;
  #failed;
  #resolve;

  /**
   * @param {Page} page
   * @param {Row} row
   */
  constructor(page, row) {
    this.#page = page;
    this.#row = row;
    const { t } = page;
    const click = () => this.#lowerHand();
    this.#name = studentButton(page, row.student.studentId);
    this.#streak = h("span", { class: "help-streak", title: t.status.stuck });
    this.#failed = h("p", { class: "help-failed", role: "alert", hidden: true }, t.help.failed);
    this.#resolve = h("button", { type: "button", class: "primary-button", on: { click } });
    this.#warning = h(
      "span",
      { class: "help-wait-warning", title: t.help.long },
      icon("warning"),
      h("span", { class: "visually-hidden" }, t.help.long),
    );
    this.element = h(
      "li",
      { class: "help-item" },
      h("div", { class: "help-wait" }, this.#wait, this.#warning),
      h(
        "div",
        { class: "student-lines" },
        h("div", { class: "student-line" }, this.#name.element, this.#team),
        h("div", { class: "student-line secondary-text" }, this.#place, this.#streak),
        this.#failed,
      ),
      this.#resolve,
    );
    this.#ready();
  }

  /** @param {Row} row */
  update(row) {
    const { store, t } = this.#page;
    const { student } = row;
    const since = raisedAt(row);
    // Another hand than the one that was resolved: that answer says nothing about it.
    if (this.#since !== since) this.#ready();
    this.#row = row;
    this.#since = since;
    this.#name.update(student);
    setText(this.#team, student.teamName ?? "");
    show(this.#team, student.teamName !== null);
    setText(this.#place, placeLabel(student, store, t));
    const failures = row.streak?.failures ?? 0;
    setText(this.#streak, t.stuck.times(failures));
    show(this.#streak, failures > 1);
    setAttribute(this.#resolve, "aria-label", t.help.resolveName(studentName(student)));
    this.tick();
  }

  /** Writes how long the student has waited. */
  tick() {
    const { clock, t } = this.#page;
    const waited = clock.now() - this.#since;
    setText(this.#wait, t.wait(waited));
    setAttribute(this.#wait, "aria-label", t.help.waiting(t.span(waited)));
    show(this.#warning, waited >= LONG_WAIT);
    this.element.classList.toggle("is-long-wait", waited >= LONG_WAIT);
  }

  /** Asks the relay to lower the hand. It goes down when the relay's own event says so. */
  async #lowerHand() {
    const { classId, t } = this.#page;
    show(this.#failed, false);
    setAttribute(this.#resolve, "aria-disabled", "true");
    setText(this.#resolve, t.help.resolving);
    const since = this.#since;
    try {
      await api.resolve(classId, this.#row.student.studentId);
    } catch {
      if (this.#since !== since) return;
      this.#ready();
      show(this.#failed, true);
    }
  }

  /** The hand can be resolved. */
  #ready() {
    setAttribute(this.#resolve, "aria-disabled", null);
    setText(this.#resolve, this.#page.t.help.resolve);
    show(this.#failed, false);
  }
}
