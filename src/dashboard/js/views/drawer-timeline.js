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
 * @import { Page, Place } from "./list.js"
 */

/** The number of events that are read at a time. */
const PAGE = 50;
/** The most events that are shown. */
const MAX_EVENTS = 1_000;
/** So many older events are read at a time, and so often, to find a run of a cell. */
const SEARCHED = 200;
const MAX_SEARCHED = 10;

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
   * The cell whose latest run is to be shown as soon as it is found.
   *
   * @type {Place | null}
   */
  #wanted = null;
  #chooseRun;
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
   * @param {(run: TimelineEvent) => void} chooseRun is called with a run that was chosen
   */
  constructor(page, studentId, showRun, chooseRun) {
    this.#page = page;
    this.#studentId = studentId;
    this.#showRun = showRun;
    this.#chooseRun = chooseRun;
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
      create: () => new EntryItem(t, chooseRun),
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

  /**
   * Chooses the student's latest run of a cell. Older events are read until it is found.
   *
   * @param {Place} place
   */
  choose(place) {
    this.#wanted = place;
    if (!this.#find()) this.#search(place);
  }

  /** Looks for the wanted run among the events that were read. */
  #find() {
    const wanted = this.#wanted;
    const run = this.#events.find(({ event }) => wanted !== null && isRunOf(event, wanted));
    if (run === undefined) return false;
    this.#wanted = null;
    this.#chooseRun(run);
    return true;
  }

  /**
   * Reads the student's older events of the cell's notebook, within bounds.
   *
   * @param {Place} place
   */
  async #search(place) {
    const { classId, store } = this.#page;
    const { signal } = this.#abort;
    let before = this.#next ?? undefined;
    const first = store.state.lesson?.first ?? 0;
    const notebook = place.notebookPath ?? undefined;
    try {
      for (let page = 0; page < MAX_SEARCHED && before !== undefined && before > first; page += 1) {
        const options = { before, limit: SEARCHED, notebook, signal };
        const answer = await api.events(classId, this.#studentId, options);
        if (this.#wanted !== place) return;
        for (const delivered of answer.events) {
          const event = normalize(delivered, store.state.settings);
          if (!isRunOf(event, place)) continue;
          this.#wanted = null;
          this.#chooseRun({ delivered, event });
          return;
        }
        before = answer.next;
      }
    } catch {
      // The latest run stays; what cannot be read now is said below the timeline.
    }
  }

  /** Draws at once if events wait for a frame, which a hidden page does not get. */
  tick() {
    if (this.#drawRequested) this.#draw();
  }

  async #read() {
    const { t, classId } = this.#page;
    const { signal } = this.#abort;
    setText(this.#note, t.drawer.loading);
    show(this.#note, true);
    show(this.#older, false);
    try {
      const options = { before: this.#next ?? undefined, limit: PAGE, signal };
      const answer = await api.events(classId, this.#studentId, options);
      this.#next = answer.next ?? null;
      this.#add(answer.events);
      setText(this.#note, t.drawer.beginning);
      show(this.#note, this.#next === null && this.#events.length > 0);
      setText(this.#older, t.drawer.older);
      show(this.#older, this.#next !== null && this.#events.length < MAX_EVENTS);
      if (this.#wanted !== null) this.#search(this.#wanted);
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
    this.#find();
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
  #open;
  /** @type {TimelineEvent | null} */
  #newest = null;
  #repeats = h("span", { class: "event-repeats" });
  #message = bdi("", { class: "error-message" });
  #drawn = 0;

  /**
   * @param {Text} t
   * @param {(run: TimelineEvent) => void} chooseRun
   */
  constructor(t, chooseRun) {
    this.#t = t;
    const click = () => this.#newest !== null && chooseRun(this.#newest);
    const button = { type: "button", class: "event-run", title: t.drawer.openRun, on: { click } };
    this.#open = h("button", button);
    const line = h("div", {}, this.#kind, " ", this.#place, this.#open, " ", this.#repeats);
    this.element = h("li", {}, this.#time, this.#mark, h("div", {}, line, this.#message));
  }

  /** @param {Entry} entry */
  update({ kind, events }) {
    if (this.#drawn === events.length) return;
    this.#drawn = events.length;
    const t = this.#t;
    const { event, delivered } = events[0];
    [this.#newest] = events;
    this.element.dataset.event = kind;
    setText(this.#time, t.clock(event.received));
    this.#time.dateTime = delivered.receivedAt;
    this.#time.title = t.dateTime(event.received);
    const name = ICONS.get(kind);
    this.#mark.replaceChildren(...(name === undefined ? [] : [icon(name)]));
    const known = Object.hasOwn(t.drawer.event, kind) ? t.drawer.event[kind] : event.eventType;
    // A run can be opened: its words are the button.
    const isRun = event.kind === "run";
    const place = placeOf(event, t);
    setText(this.#kind, isRun ? "" : (known ?? "?"));
    setText(this.#place, isRun ? "" : place);
    show(this.#open, isRun);
    const kindText = h("span", { class: "event-kind" }, known ?? "?");
    if (isRun) this.#open.replaceChildren(kindText, " ", bdi(place, { class: "event-place" }));
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

/**
 * @param {NormalizedEvent} event
 * @param {Place} place
 */
function isRunOf({ kind, notebook, cell }, { notebookPath, cellId }) {
  return kind === "run" && notebook === notebookPath && cell === cellId;
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
