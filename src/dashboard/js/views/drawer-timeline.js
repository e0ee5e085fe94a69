// A student's events, the newest first: read once, then continued by the events as they arrive.

import { api } from "../api.js";
import { List, h, setAttribute, setText, show } from "../dom.js";
import { HELP_LAPSE } from "../hand.js";
import { lapses } from "../lapses.js";
import { normalize } from "../normalize.js";
import { formatTime } from "../time.js";
import { Day, EntryItem, entriesOf } from "./drawer-entries.js";

/**
 * @import { DeliveredEvent, NormalizedEvent } from "../normalize.js"
 * @import { Entry, TimelineEvent } from "./drawer-entries.js"
 * @import { Page, Place } from "./list.js"
 */

/** The number of events that are read at a time. */
const PAGE = 50;
/** The most events that are shown. */
const MAX_EVENTS = 1_000;
/** So many older events are read at a time, and so often, to find a run of a cell. */
const SEARCHED = 200;
const MAX_SEARCHED = 10;

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
   * @param {(event: DeliveredEvent | null, isLatest: boolean) => void} showRun is called with the
   *   latest run, or the one that was chosen; `null`: there is none
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
    /** @type {List<Entry, EntryItem | Day>} */
    this.#list = new List(list, {
      key: ({ day, events }) => day ?? String(events[0].event.id),
      create: (entry) => (entry.day === null ? new EntryItem(t, entry, choose) : new Day(entry)),
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
        // What is still being read is of that log.
        this.#abort.abort();
        this.#abort = new AbortController();
        setAttribute(this.#older, "aria-disabled", null);
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
    if (this.#older.ariaDisabled === "true") return;
    setText(this.#note, t.drawer.loading);
    show(this.#note, true);
    // It stays, with the focus: who reads on presses it again.
    setAttribute(this.#older, "aria-disabled", "true");
    try {
      const lesson = lessonId ?? undefined;
      const options = { before: this.#next ?? undefined, limit: PAGE, lesson, signal };
      const answer = await api.events(classId, this.#studentId, options);
      if (signal.aborted) return;
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
    setAttribute(this.#older, "aria-disabled", null);
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
    this.#showRun(shown ?? null, shown === latest);
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
        if (this.#wanted !== place || signal.aborted) return;
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
    const events = [...this.#events, ...lapsed].sort(newestFirst);
    // Also of an earlier lesson, whose end the page's clock shows.
    const today = this.#page.clock.timeAt(performance.now());
    this.#list.show(entriesOf(events, today, this.#page.t));
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

/**
 * @param {NormalizedEvent} event
 * @param {Place} place
 */
function isRunOf({ kind, notebook, cell }, { notebookPath, cellId }) {
  return kind === "run" && notebook === notebookPath && cell === cellId;
}
