// A student's events, the newest first: read once, then continued by the events as they arrive.

import { api } from "../api.js";
import { List, bdi, h, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { cellLabel, errorLine, notebookName } from "../names.js";
import { normalize } from "../normalize.js";

/**
 * @import { Text } from "../i18n.js"
 * @import { IconName } from "../icons.js"
 * @import { DeliveredEvent, NormalizedEvent } from "../normalize.js"
 * @import { Page } from "./list.js"
 */

/** The number of events that are read at a time. */
const PAGE = 50;
/** The most events that are shown. */
const MAX_EVENTS = 1_000;

/** @type {Map<string, IconName>} */
const ICONS = new Map([
  ["cell_executed", "active"],
  ["failed", "error"],
  ["help", "help"],
  ["help_stop", "help"],
  ["help_resolved", "active"],
]);

/**
 * @typedef {{ delivered: DeliveredEvent, event: NormalizedEvent }} TimelineEvent
 */

/**
 * One or more events that say the same.
 *
 * @typedef {{ kind: string, events: TimelineEvent[] }} Entry
 */

export class Timeline {
  element;
  #page;
  #studentId;
  #showRun;
  /**
   * The newest first.
   *
   * @type {TimelineEvent[]}
   */
  #events = [];
  /**
   * Where the next older events begin.
   *
   * @type {number | null}
   */
  #next = null;
  /**
   * Ids of the events that were added.
   *
   * @type {Set<number>}
   */
  #seen = new Set();
  #list;
  #older;
  #note = h("p", { class: "note" });
  #abort = new AbortController();
  #unwatch;
  #drawRequested = false;

  /**
   * @param {Page} page
   * @param {string} studentId
   * @param {(event: DeliveredEvent) => void} showRun is called with the newest run
   */
  constructor(page, studentId, showRun) {
    this.#page = page;
    this.#studentId = studentId;
    this.#showRun = showRun;
    const { t, store } = page;
    const list = h("ol", { class: "timeline" });
    const click = () => this.#read();
    const older = { type: "button", class: "text-button", hidden: true, on: { click } };
    this.#older = h("button", older);
    this.element = h(
      "section",
      { class: "timeline-section", "aria-labelledby": "timeline-heading" },
      h("h3", { id: "timeline-heading" }, t.drawer.timeline),
      list,
      this.#note,
      this.#older,
    );
    /** @type {List<Entry, EntryItem>} */
    this.#list = new List(list, {
      key: (entry) => String(entry.events[0].event.id),
      create: () => new EntryItem(t),
      update: (item, entry) => item.update(entry),
    });
    this.#unwatch = store.watch({
      event: (delivered) => {
        if (delivered.studentId === studentId) this.#add([delivered]);
      },
      // The log may have been replaced: events that were read before need not be in it.
      reloaded: () => {
        this.#events = [];
        this.#seen.clear();
        this.#next = null;
        this.#read();
      },
    });
    this.#read();
  }

  close() {
    this.#abort.abort();
    this.#unwatch();
  }

  /** Draws at once if events wait for a frame, which a hidden page does not get. */
  tick() {
    if (this.#drawRequested) this.#draw();
  }

  async #read() {
    const { t, classId, lessonId } = this.#page;
    const { signal } = this.#abort;
    setText(this.#note, t.drawer.loading);
    show(this.#note, true);
    show(this.#older, false);
    try {
      const lesson = lessonId ?? undefined;
      const options = { before: this.#next ?? undefined, limit: PAGE, lesson, signal };
      const answer = await api.events(classId, this.#studentId, options);
      this.#next = answer.next ?? null;
      this.#add(answer.events);
      setText(this.#note, t.drawer.beginning);
      show(this.#note, this.#next === null && this.#events.length > 0);
      setText(this.#older, t.drawer.older);
      show(this.#older, this.#next !== null && this.#events.length < MAX_EVENTS);
    } catch {
      if (signal.aborted) return;
      setText(this.#note, t.drawer.failed);
      setText(this.#older, t.drawer.retry);
      show(this.#older, true);
    }
  }

  /** @param {DeliveredEvent[]} events */
  #add(events) {
    for (const delivered of events) {
      if (this.#seen.has(delivered.id)) continue;
      this.#seen.add(delivered.id);
      const event = normalize(delivered, this.#page.store.state.settings);
      this.#events.push({ delivered, event });
    }
    this.#events.sort((a, b) => b.event.id - a.event.id);
    this.#events.length = Math.min(this.#events.length, MAX_EVENTS);
    const run = this.#events.find(({ event }) => event.kind === "run");
    if (run !== undefined) this.#showRun(run.delivered);
    if (!this.#drawRequested) {
      this.#drawRequested = true;
      requestAnimationFrame(() => this.#draw());
    }
  }

  #draw() {
    this.#drawRequested = false;
    if (!this.#abort.signal.aborted) this.#list.show(entriesOf(this.#events));
  }
}

/** An entry of the list. Its events are those of one kind; only their number grows. */
class EntryItem {
  element;
  #t;
  #time = h("time");
  #mark = h("span", { class: "event-mark" });
  #kind = h("span", { class: "event-kind" });
  #place = bdi("", { class: "event-place" });
  #repeats = h("span", { class: "event-repeats" });
  #message = bdi("", { class: "error-message" });
  #drawn = 0;

  /** @param {Text} t */
  constructor(t) {
    this.#t = t;
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
    const message = kind === "failed" ? errorLine(event.message) : "";
    setText(this.#message, message);
    show(this.#message, message !== "");
  }
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
 * sent again, a notebook that is saved every few seconds.
 *
 * @param {TimelineEvent[]} events
 */
function entriesOf(events) {
  /** @type {Entry[]} */
  const entries = [];
  for (const entry of events) {
    const { event } = entry;
    const kind = kindOf(event);
    const last = entries.at(-1);
    if (last?.kind === kind && isSame(last.events[0].event, event)) last.events.push(entry);
    else entries.push({ kind, events: [entry] });
  }
  return entries;
}

/** @param {NormalizedEvent} event */
function kindOf({ kind, eventType, failed }) {
  if (eventType === "cell_executed" && kind !== "run") return "not_run";
  return kind === "run" && failed ? "failed" : (eventType ?? "?");
}

/**
 * @param {NormalizedEvent} a
 * @param {NormalizedEvent} b of the same kind
 */
function isSame(a, b) {
  if (a.kind !== "run") return a.notebook === b.notebook && a.cell === b.cell;
  return (
    a.cell === b.cell &&
    a.notebook === b.notebook &&
    a.session === b.session &&
    a.executionCount !== null &&
    a.executionCount === b.executionCount
  );
}
