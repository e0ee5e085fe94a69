// A student's events, the newest first: read once, then continued by the events as they arrive.

import { api } from "../api.js";
import { List, bdi, h, setAttribute, setText, show } from "../dom.js";
import { HELP_LAPSE } from "../hand.js";
import { icon } from "../icons.js";
import { lapses } from "../lapses.js";
import { cellLabel, errorLine, notebookName } from "../names.js";
import { normalize } from "../normalize.js";
import { formatTime } from "../time.js";

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
  ["lapsed", "help"],
  ["help_resolved", "active"],
  ["help_claimed", "help"],
  ["help_released", "help"],
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
   * The run that was chosen; `null`: the latest is shown.
   *
   * @type {DeliveredEvent | null}
   */
  #chosen = null;
  /**
   * The cell whose latest run is to be shown as soon as it is found.
   *
   * @type {Place | null}
   */
  #wanted = null;
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
  /** The number of lapses that are shown. */
  #lapsed = 0;

  /**
   * @param {Page} page
   * @param {string} studentId
   * @param {(event: DeliveredEvent, isLatest: boolean) => void} showRun is called with the latest
   *   run, or the one that was chosen
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
    const choose = (/** @type {DeliveredEvent} */ run) => {
      this.#wanted = null;
      this.choose(run);
    };
    /** @type {List<Entry, EntryItem>} */
    this.#list = new List(list, {
      key: (entry) => String(entry.events[0].event.id),
      create: (entry) => new EntryItem(t, entry, choose),
      update: (item, entry) => item.update(entry),
    });
    this.#unwatch = store.watch({
      event: (delivered) => {
        if (delivered.studentId === studentId) this.#add([delivered]);
      },
      // The log may have been replaced: events that were read before need not be in it.
      reloaded: () => {
        this.#events = [];
        this.#chosen = null;
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

  /** Draws if a hand lapsed, or if events wait for a frame, which a hidden page does not get. */
  tick() {
    if (this.#drawRequested || this.#lapses().length !== this.#lapsed) this.#draw();
  }

  /** The lapses of the student's hands. */
  #lapses() {
    const events = this.#events.map(({ event }) => event).sort((a, b) => a.id - b.id);
    return lapses(events, this.#page.clock.now()).map(lapseOf);
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
      if (this.#wanted !== null) this.#searchWanted(this.#wanted);
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
    // In the order of the header, which says where the student is.
    this.#events.sort(newestFirst);
    for (const { event } of this.#events.splice(MAX_EVENTS)) this.#seen.delete(event.id);
    if (!this.#findWanted()) this.choose(this.#chosen);
    if (!this.#drawRequested) {
      this.#drawRequested = true;
      requestAnimationFrame(() => this.#draw());
    }
  }

  /**
   * Shows a run.
   *
   * @param {DeliveredEvent | null} run `null`: the latest
   */
  choose(run) {
    this.#chosen = run;
    const latest = this.#events.find(({ event }) => event.kind === "run")?.delivered;
    const shown = run ?? latest;
    if (shown !== undefined) this.#showRun(shown, shown === latest);
  }

  /**
   * Shows the student's latest run of a cell. Older events are read until it is found.
   *
   * @param {Place} place
   */
  chooseCell(place) {
    this.#wanted = place;
    if (!this.#findWanted()) this.#searchWanted(place);
  }

  /** Looks for the wanted run among the events that were read. */
  #findWanted() {
    const wanted = this.#wanted;
    const run = this.#events.find(({ event }) => wanted !== null && isRunOf(event, wanted));
    if (run === undefined) return false;
    this.#wanted = null;
    this.choose(run.delivered);
    return true;
  }

  /**
   * Reads the student's older events of the cell's notebook, within bounds.
   *
   * @param {Place} place
   */
  async #searchWanted(place) {
    const { classId, store, lessonId } = this.#page;
    const { signal } = this.#abort;
    const lesson = lessonId ?? undefined;
    let before = this.#next ?? undefined;
    const first = store.state.lesson?.first ?? 0;
    const notebook = place.notebookPath ?? undefined;
    try {
      for (let page = 0; page < MAX_SEARCHED && before !== undefined && before > first; page += 1) {
        const options = { before, limit: SEARCHED, notebook, lesson, signal };
        const answer = await api.events(classId, this.#studentId, options);
        if (this.#wanted !== place) return;
        const runs = answer.events.map((delivered) => ({
          delivered,
          event: normalize(delivered, store.state.settings),
        }));
        const run = runs.find(({ event }) => isRunOf(event, place));
        if (run !== undefined) {
          this.#wanted = null;
          this.choose(run.delivered);
          return;
        }
        before = answer.next;
      }
    } catch {
      // The latest run stays; what cannot be read now is said below the timeline.
    }
  }

  #draw() {
    this.#drawRequested = false;
    if (this.#abort.signal.aborted) return;
    const lapsed = this.#lapses();
    this.#lapsed = lapsed.length;
    this.#list.show(entriesOf([...this.#events, ...lapsed].sort(newestFirst)));
  }
}

/**
 * @param {TimelineEvent} a
 * @param {TimelineEvent} b
 */
function newestFirst({ event: a }, { event: b }) {
  return b.moment - a.moment || b.id - a.id;
}

/**
 * A lapse in the form of an event.
 *
 * @param {NormalizedEvent} help the hand's last `help`
 * @returns {TimelineEvent}
 */
function lapseOf(help) {
  const at = help.received + HELP_LAPSE;
  // Between the hand's event and the next.
  const id = help.id + 0.5;
  const kind = /** @type {const} */ ("other");
  const event = { ...help, id, kind, eventType: "lapsed", helpMessage: null };
  return {
    delivered: { id, studentId: help.student, receivedAt: formatTime(at) },
    event: { ...event, moment: at, received: at, notebook: null, cell: null },
  };
}

/** An entry of the list. Its events are those of one kind; only their number grows. */
class EntryItem {
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
