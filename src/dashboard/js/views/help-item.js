// A raised hand in the help queue, and what an instructor does about it.

import { studentButton } from "../components/student-button.js";
import { api } from "../api.js";
import { bdi, h, moveFocus, setAttribute, setText, show } from "../dom.js";
import { claimOf } from "../hand.js";
import { icon } from "../icons.js";
import { placeLabel, studentName } from "../names.js";
import { MINUTE } from "../time.js";

/**
 * @import { Row } from "../store.js"
 * @import { OwnName } from "./own-name.js"
 * @import { Page } from "./list.js"
 */

/** From this wait on the queue warns. */
const LONG_WAIT = 5 * MINUTE;

/** @param {Row} row */
export function raisedAt({ student }) {
  return student.helpSince ?? student.lastReceivedAt;
}

export class HelpItem {
  element;
  #page;
  #row;
  #ownName;
  #since = -Infinity;
  #wait = h("time", { class: "help-wait-time" });
  #warning;
  #name;
  #team = bdi("", { class: "student-team" });
  #place = h("span", { class: "student-place" });
  #streak;
  #message = bdi("", { class: "help-message", dir: "auto" });
  #claimed = h("p", { class: "help-claimed" });
  #viewers = h("p", { class: "viewers" });
  #failed;
  #claim;
  #actions;
  #release;
  #resolve;
  /** Whether something was done that the relay has neither answered nor told. */
  #isBusy = false;
  /** Counts what was done: an answer to an earlier act says nothing about a later one. */
  #turn = 0;

  /**
   * @param {Page} page
   * @param {Row} row
   * @param {OwnName} ownName
   */
  constructor(page, row, ownName) {
    this.#page = page;
    this.#row = row;
    this.#ownName = ownName;
    const { t } = page;
    this.#name = studentButton(page, row.student.studentId);
    this.#streak = h("span", { class: "help-streak" });
    this.#failed = h("p", { class: "help-failed", role: "alert", hidden: true }, t.help.failed);
    this.#claim = button("secondary-button help-claim", t.help.claim, () => this.#goThere());
    this.#release = button("text-button help-release", t.help.release, () => this.#stayHere());
    this.#resolve = button("primary-button", t.help.resolve, () => this.#lowerHand());
    this.#warning = h(
      "span",
      { class: "help-wait-warning", title: t.help.long },
      icon("warning"),
      h("span", { class: "visually-hidden" }, t.help.long),
    );
    // The time's label says it to screen readers.
    const word = h("span", { class: "help-wait-word", "aria-hidden": "true" }, t.help.word);
    this.#actions = h("div", { class: "help-actions" }, this.#claim, this.#release, this.#resolve);
    // What was an earlier lesson's cannot be changed.
    show(this.#actions, page.lessonId === null);
    this.element = h(
      "li",
      { class: "help-item" },
      h("div", { class: "help-wait" }, this.#wait, this.#warning, word),
      h("div", { class: "student-line" }, this.#name.element, this.#streak, this.#team),
      h("div", { class: "student-line secondary-text" }, this.#place),
      this.#actions,
      h("div", { class: "help-notes" }, this.#message, this.#claimed, this.#viewers, this.#failed),
    );
  }

  /** @param {Row} row */
  update(row) {
    const { store, t } = this.#page;
    const { student } = row;
    const since = raisedAt(row);
    // Another hand than the one that something was done about: that answer says nothing about it.
    if (this.#since !== since) this.#ready();
    this.#row = row;
    this.#since = since;
    this.#name.update(student);
    setText(this.#team, student.teamName ?? "");
    setAttribute(this.#team, "title", student.teamName);
    show(this.#team, student.teamName !== null);
    const message = student.helpMessage ?? "";
    setText(this.#message, message);
    setAttribute(this.#message, "title", message);
    show(this.#message, message.trim() !== "");
    setText(this.#place, placeLabel(student, store, t));
    const failures = row.streak?.failures ?? 0;
    setText(this.#streak, t.failures(failures));
    setAttribute(this.#streak, "title", t.stuck.failed(failures));
    show(this.#streak, failures > 1);
    const name = studentName(student);
    setAttribute(this.#resolve, "aria-label", t.help.resolveName(name));
    setAttribute(this.#claim, "aria-label", t.help.claimName(name));
    setAttribute(this.#release, "aria-label", t.help.releaseName(name));
    this.tick();
  }

  /** Writes how long the student has waited, and who is on the way. */
  tick() {
    const { clock, presence, t } = this.#page;
    const now = clock.now();
    const waited = now - this.#since;
    setText(this.#wait, t.wait(waited));
    setAttribute(this.#wait, "aria-label", t.help.waiting(t.span(waited)));
    const claim = claimOf(this.#row.student, now);
    const isOwn = claim !== null && claim.by === this.#ownName.known();
    const isLong = waited >= LONG_WAIT && claim === null;
    show(this.#warning, isLong);
    this.element.classList.toggle("is-long-wait", isLong);
    this.element.classList.toggle("is-claimed", claim !== null);
    const { studentId } = this.#row.student;
    const viewers = presence.viewersOf(studentId).filter((name) => name !== claim?.by);
    setText(this.#viewers, viewers.length > 0 ? t.presence.looking(viewers) : "");
    show(this.#viewers, viewers.length > 0);
    show(this.#claimed, claim !== null);
    this.#offer(isOwn);
    if (claim === null) return;
    const since = t.wait(now - claim.at);
    setText(this.#claimed, isOwn ? t.help.going(since) : t.help.isGoing(claim.by, since));
  }

  /**
   * Offers to go, or to stay. Who has just chosen one has the focus on the other.
   *
   * @param {boolean} isOwn whether this instructor is on the way
   */
  #offer(isOwn) {
    const [offered, other] = isOwn ? [this.#release, this.#claim] : [this.#claim, this.#release];
    // The relay's event may come before its answer: the other can then be chosen at once.
    if (!other.hidden) this.#ready();
    const hadFocus = document.activeElement === other;
    show(offered, true);
    if (hadFocus) moveFocus(offered);
    show(other, false);
  }

  async #goThere() {
    if (this.#isBusy) return;
    const name = await this.#ownName.ask();
    if (name !== "") await this.#act((classId, student) => api.claim(classId, student, name));
  }

  async #stayHere() {
    const name = this.#ownName.known();
    await this.#act((classId, student) => api.release(classId, student, name));
  }

  async #lowerHand() {
    await this.#act(api.resolve, () => setText(this.#resolve, this.#page.t.help.resolving));
  }

  /**
   * Asks the relay for an act. It has happened when the relay's own event says so.
   *
   * @param {(classId: string, studentId: string) => Promise<unknown>} act
   * @param {() => void} [began]
   */
  async #act(act, began) {
    if (this.#isBusy) return;
    const turn = this.#turn;
    this.#isBusy = true;
    for (const element of this.#buttons) setAttribute(element, "aria-disabled", "true");
    show(this.#failed, false);
    began?.();
    let hasFailed = false;
    try {
      await act(this.#page.classId, this.#row.student.studentId);
    } catch {
      hasFailed = true;
    }
    // A hand that was lowered leaves the queue: until then the button says that it is on its way.
    if (this.#turn !== turn || (began !== undefined && !hasFailed)) return;
    this.#ready();
    show(this.#failed, hasFailed);
  }

  /** Something can be done about the hand. */
  #ready() {
    this.#turn += 1;
    this.#isBusy = false;
    for (const element of this.#buttons) setAttribute(element, "aria-disabled", null);
    setText(this.#resolve, this.#page.t.help.resolve);
    show(this.#failed, false);
  }

  get #buttons() {
    return [this.#claim, this.#release, this.#resolve];
  }
}

/**
 * @param {string} name of its class
 * @param {string} text
 * @param {() => void} click
 */
function button(name, text, click) {
  return h("button", { type: "button", class: name, on: { click } }, text);
}
