// What a student did, newest first: read once, then kept up by the events themselves.

import { api } from "../api.js";
import { List, bdi, h, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { normalize } from "../normalize.js";
import { cellLabel, errorLine, notebookName } from "../names.js";
import { partsOf, remember } from "./common.js";

const PAGE = 50;
/** Kept on the page; more can be asked for. */
const MOST = 1_000;
const ICONS = { cell_executed: "active", failed: "error", help: "help", help_stop: "help", help_resolved: "active" };

export class Timeline {
  element;
  #page;
  #studentId;
  #latest;
  #events = [];
  #next = null;
  #seen = new Set();
  #list;
  #older;
  #note = h("p", { class: "note" });
  #abort = new AbortController();
  #unwatch;
  #due = false;

  /** `latest(event)` is told the newest run. */
  constructor(page, studentId, latest) {
    this.#page = page;
    this.#studentId = studentId;
    this.#latest = latest;
    const { t, store } = page;
    const list = h("ol", { class: "timeline" });
    this.#older = h("button", { type: "button", class: "quiet", hidden: true, on: { click: () => this.#read() } });
    this.element = h("section", { class: "history", "aria-labelledby": "history-heading" }, h("h3", { id: "history-heading" }, t.drawer.timeline), list, this.#note, this.#older);
    this.#list = new List(list, {
      key: (entry) => String(entry.events[0].id),
      create: () => this.#create(),
      update: (element, entry) => this.#update(element, entry),
    });
    this.#unwatch = store.watch({
      event: (delivered) => {
        if (delivered.studentId === studentId) this.#add([delivered]);
      },
      // The log may be another: what was read before need not be in it.
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

  /** Ages are not shown here, times are: nothing changes with time alone. What came since the last second is. */
  tick() {
    if (this.#due) this.#draw();
  }

  async #read() {
    const { t, classId } = this.#page;
    setText(this.#note, t.drawer.loading);
    show(this.#note, true);
    show(this.#older, false);
    try {
      const before = this.#next ?? undefined;
      const answer = await api.events(classId, this.#studentId, { before, limit: PAGE, signal: this.#abort.signal });
      this.#next = answer.next ?? null;
      this.#add(answer.events);
      setText(this.#note, t.drawer.beginning);
      show(this.#note, this.#next === null && this.#events.length > 0);
      setText(this.#older, t.drawer.older);
      show(this.#older, this.#next !== null && this.#events.length < MOST);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      setText(this.#note, t.drawer.failed);
      setText(this.#older, t.drawer.retry);
      show(this.#older, true);
    }
  }

  #add(delivered) {
    for (const event of delivered) {
      if (this.#seen.has(event.id)) continue;
      this.#seen.add(event.id);
      this.#events.push({ id: event.id, delivered: event, event: normalize(event) });
    }
    this.#events.sort((a, b) => b.id - a.id);
    this.#events.length = Math.min(this.#events.length, MOST);
    const run = this.#events.find(({ event }) => event.kind === "cell_executed");
    if (run !== undefined) this.#latest(run.delivered);
    if (!this.#due) {
      this.#due = true;
      requestAnimationFrame(() => this.#draw());
    }
  }

  #draw() {
    this.#due = false;
    if (!this.#abort.signal.aborted) this.#list.show(gather(this.#events));
  }

  #create() {
    const time = h("time");
    const mark = h("span", { class: "event-mark" });
    const what = h("span", { class: "what" });
    const where = bdi("", { class: "where" });
    const times = h("span", { class: "times-note" });
    const message = bdi("", { class: "message" });
    const element = h("li", {}, time, mark, h("div", { class: "event" }, h("div", {}, what, " ", where, " ", times), message));
    return remember(element, { time, mark, what, where, times, message });
  }

  #update(element, { kind, events }) {
    const { t } = this.#page;
    const part = partsOf(element);
    const { event } = events[0];
    if (part.drawn === events.length) return;
    part.drawn = events.length;
    element.className = kind;
    setText(part.time, t.clock(event.received));
    part.time.dateTime = events[0].delivered.receivedAt;
    part.time.title = t.dateTime(event.received);
    part.mark.replaceChildren(...(kind in ICONS ? [icon(ICONS[kind])] : []));
    setText(part.what, t.drawer.event[kind] ?? event.eventType ?? "?");
    setText(part.where, where(event, t));
    setText(part.times, events.length > 1 ? t.drawer.repeats(events.length) : "");
    const message = kind === "failed" ? errorLine(event.message) : "";
    setText(part.message, message);
    show(part.message, message !== "");
  }
}

function where(event, t) {
  if (event.kind !== "cell_executed") return event.notebook === null ? "" : notebookName(event.notebook, t);
  const cell = event.cell === null ? "" : cellLabel({ cellId: event.cell, cellIndex: event.cellIndex }, t);
  const count = event.executionCount === null ? "" : t.drawer.execution(event.executionCount);
  return `${cell} ${count}`.trim();
}

/** A hand that is kept up, a run that is sent again, a notebook saved every few seconds: one entry, with how often. */
function gather(events) {
  const entries = [];
  for (const entry of events) {
    const { event } = entry;
    const kind = event.kind === "cell_executed" && event.failed ? "failed" : (event.eventType ?? "?");
    const last = entries.at(-1);
    if (last !== undefined && last.kind === kind && isSame(last.events[0].event, event)) last.events.push(entry);
    else entries.push({ kind, events: [entry] });
  }
  return entries;
}

function isSame(a, b) {
  if (a.kind !== "cell_executed") return a.notebook === b.notebook;
  return a.cell === b.cell && a.notebook === b.notebook && a.session === b.session && a.executionCount !== null && a.executionCount === b.executionCount;
}
