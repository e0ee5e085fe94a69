// The entries of a student's timeline: events that say the same as one, and the days between them.

import { bdi, h, setAttribute, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { cellLabel, errorLine, notebookName } from "../names.js";

/**
 * @import { Text } from "../i18n.js"
 * @import { IconName } from "../icons.js"
 * @import { DeliveredEvent, NormalizedEvent } from "../normalize.js"
 */

/** @type {Map<string, IconName>} */
const ICONS = new Map([
  ["cell_executed", "active"],
  ["failed", "error"],
  ["help", "help"],
  ["help_stop", "help"],
  ["lapsed", "help"],
  ["help_resolved", "active"],
  ["help_claimed", "help"],
  ["help_released", "help"],
]);

/**
 * @typedef {{ delivered: DeliveredEvent, event: NormalizedEvent }} TimelineEvent
 */

/**
 * One or more events that say the same; or a day, which has none.
 *
 * @typedef {{ kind: string, day: string | null, events: TimelineEvent[] }} Entry
 */

/** An entry of the list. Its events are those of one kind; only their number grows. */
export class EntryItem {
  element;
  #t;
  #time = h("time");
  #mark = h("span", { class: "event-mark" });
  #kind;
  #place = bdi("", { class: "event-place" });
  #repeats = h("span", { class: "event-repeats" });
  #message = bdi("", { class: "error-message" });
  #drawn = 0;

  /**
   * @param {Text} t
   * @param {Entry} entry
   * @param {(run: DeliveredEvent) => void} choose is called when a run is to be shown
   */
  constructor(t, { events: [{ event, delivered }] }, choose) {
    this.#t = t;
    const click = () => choose(delivered);
    const button = { type: "button", class: "event-kind", title: t.drawer.show, on: { click } };
    this.#kind = event.kind === "run" ? h("button", button) : h("span", { class: "event-kind" });
    const line = h("div", {}, this.#kind, " ", this.#place, " ", this.#repeats);
    this.element = h("li", {}, this.#time, this.#mark, h("div", {}, line, this.#message));
  }

  /** @param {Entry} entry */
  update({ kind, events }) {
    if (this.#drawn === events.length) return;
    this.#drawn = events.length;
    const t = this.#t;
    const { event, delivered } = events[0];
    this.element.dataset.event = kind;
    setText(this.#time, t.clock(event.received));
    this.#time.dateTime = delivered.receivedAt;
    this.#time.title = t.dateTime(event.received);
    const name = ICONS.get(kind);
    this.#mark.replaceChildren(...(name === undefined ? [] : [icon(name)]));
    const known = Object.hasOwn(t.drawer.event, kind) ? t.drawer.event[kind] : event.eventType;
    setText(this.#kind, known ?? "?");
    setText(this.#place, placeOf(event, t));
    setText(this.#repeats, events.length > 1 ? t.drawer.repeats(events.length) : "");
    const said = events.find((one) => one.event.helpMessage !== null);
    const message = said?.event.helpMessage ?? errorLine(event.message);
    setText(this.#message, message);
    // The whole of it, which the relay has bounded.
    setAttribute(this.#message, "title", said?.delivered.message);
    this.#message.classList.toggle("help-message", said !== undefined);
    show(this.#message, message.trim() !== "");
  }
}

/** The day of the entries below it. */
export class Day {
  element;

  /** @param {Entry} entry */
  constructor({ day }) {
    this.element = h("li", { class: "timeline-day" }, day);
  }

  update() {}
}

/**
 * @param {NormalizedEvent} event
 * @param {Text} t
 */
function placeOf({ kind, notebook, cell, cellIndex, executionCount }, t) {
  if (kind !== "run" && cell === null) return notebook === null ? "" : notebookName(notebook, t);
  const label = cell === null ? "" : cellLabel({ cellId: cell, cellIndex }, t);
  const count = executionCount === null ? "" : t.drawer.execution(executionCount);
  return `${label} ${count}`.trim();
}

/**
 * Gathers events that say the same into one entry: the repeats of a raised hand, a run that was
 * sent again, a notebook that is saved every few seconds. Above those of each day but today stands
 * the day.
 *
 * @param {TimelineEvent[]} events the newest first
 * @param {number} now
 * @param {Pick<Text, "dayOfYear">} t
 */
export function entriesOf(events, now, t) {
  /** @type {Entry[]} */
  const entries = [];
  const days = new Set([t.dayOfYear(now)]);
  for (const entry of events) {
    const { event } = entry;
    const kind = kindOf(event);
    const day = t.dayOfYear(event.received);
    // What was on its way over midnight stands among the events of the day before.
    if (!days.has(day)) entries.push({ kind: "day", day, events: [] });
    days.add(day);
    const last = entries.at(-1);
    const isRepeat = last?.kind === kind && isSame(last.events[0].event, event);
    if (isRepeat) last.events.push(entry);
    else entries.push({ kind, day: null, events: [entry] });
  }
  return entries;
}

/** @param {NormalizedEvent} event */
function kindOf({ kind, eventType, failed, isReleased }) {
  if (kind === "help_claimed" && isReleased) return "help_released";
  if (eventType === "cell_executed" && kind !== "run") return "not_run";
  return kind === "run" && failed ? "failed" : (eventType ?? "?");
}

/**
 * @param {NormalizedEvent} a
 * @param {NormalizedEvent} b of the same kind
 */
function isSame(a, b) {
  if (a.kind === "help" && !saysTheSame(a, b)) return false;
  if (a.kind !== "run") return a.notebook === b.notebook && a.cell === b.cell;
  return (
    a.cell === b.cell &&
    a.notebook === b.notebook &&
    a.session === b.session &&
    a.executionCount !== null &&
    a.executionCount === b.executionCount
  );
}

/**
 * Whether a `help` repeats another one: with the same words, or with none.
 *
 * @param {NormalizedEvent} a
 * @param {NormalizedEvent} b
 */
function saysTheSame({ helpMessage: a }, { helpMessage: b }) {
  return a === null || b === null || a === b;
}
