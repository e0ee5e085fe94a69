// Who is stuck, on what: the cell, the latest error, how often and since when.

import { api } from "../api.js";
import { List, bdi, h, setAttribute, setText, show } from "../dom.js";
import { cellName } from "../fold.js";
import { normalize } from "../normalize.js";
import { errorLine, placeLabel } from "../names.js";
import { card, concerns, emptyState, nameButton, partsOf, remember } from "./common.js";

/** Shown at first; more at a click. */
const FEW = 12;
/** Lookups at a time, and how far back each goes. */
const LOOKUPS = 3;
const LOOKUP_EVENTS = 40;
/** Cells named above the list. */
const CHIPS = 5;

export function stuckList(page) {
  const { store, clock, t } = page;
  const view = card("stuck", t.stuck.heading);
  const empty = emptyState(t.stuck.empty, t.stuck.emptyHint, true);
  const chips = h("div", { class: "chips", role: "group", "aria-label": t.stuck.filter });
  const list = h("ul", { class: "stuck-list" });
  const more = h("button", { type: "button", class: "quiet", hidden: true });
  view.body.append(empty, chips, list, more);
  let all = false;
  let only = null;
  more.addEventListener("click", () => {
    all = !all;
    draw();
  });

  const cells = new List(chips, {
    key: (group) => group.name,
    create: (group) => {
      const choose = () => {
        only = only === group.name ? null : group.name;
        draw();
      };
      return h("button", { type: "button", class: "chip", on: { click: choose } }, bdi());
    },
    update: (chip, group) => {
      setText(chip.firstChild, t.stuck.at(group.label, group.count));
      setAttribute(chip, "aria-pressed", String(only === group.name));
    },
  });
  const items = new List(list, {
    key: (row) => row.student.studentId,
    create: (row) => create(page, row),
    update: (element, row) => update(page, element, row),
  });
  const lookups = new Lookups(page);

  function draw() {
    const stuck = store.withStatus("stuck").sort(byFailures);
    const groups = groupByCell(stuck, page);
    if (only !== null && !groups.some((group) => group.name === only)) only = null;
    const chosen = only === null ? stuck : stuck.filter((row) => placeName(row) === only);
    const shown = all ? chosen : chosen.slice(0, FEW);
    items.show(shown);
    cells.show(groups.length > 1 ? groups.slice(0, CHIPS) : []);
    lookups.want(shown);
    setText(view.count, stuck.length);
    show(empty, stuck.length === 0);
    show(chips, groups.length > 1);
    show(list, stuck.length > 0);
    show(more, chosen.length > FEW);
    setText(more, all ? t.stuck.fewer : t.stuck.more(chosen.length - FEW));
  }

  return {
    element: view.element,
    update(changes) {
      if (concerns(changes, "stuck")) draw();
      else if (changes.tick) for (const element of list.children) tick(page, element, clock.now());
    },
  };
}

/** The most failures first; of equal ones, who has been at it for longest. */
function byFailures(a, b) {
  return (
    b.student.consecutiveErrors - a.student.consecutiveErrors ||
    (a.streak?.since ?? Infinity) - (b.streak?.since ?? Infinity) ||
    a.student.lastReceivedAt - b.student.lastReceivedAt
  );
}

function placeName({ student }) {
  return cellName(student.lastRun.notebookPath, student.streakCell ?? "");
}

function groupByCell(stuck, { store, t }) {
  const groups = new Map();
  for (const row of stuck) {
    const name = placeName(row);
    const group = groups.get(name) ?? { name, count: 0, label: streakPlace(row.student, store, t) };
    group.count += 1;
    groups.set(name, group);
  }
  return [...groups.values()].sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
}

/** The cell that the streak is of; the student may have looked elsewhere since. */
function streakPlace(student, store, t) {
  const { notebookPath, cellId } = student.lastRun;
  return placeLabel({ notebookPath, cellId, cellIndex: null }, store, t);
}

function create(page, row) {
  const count = h("span", { class: "times" });
  const name = nameButton(page, row);
  const place = h("span", { class: "spot" });
  const since = h("span", { class: "since" });
  const message = bdi("", { class: "message" });
  const element = h(
    "li",
    { class: "stuck-item" },
    count,
    h("div", { class: "who" }, h("div", { class: "line" }, name.button, place, since), h("div", { class: "line sub" }, message)),
  );
  return remember(element, { count, name, place, since, message });
}

function update(page, element, row) {
  const { store, clock, t } = page;
  const part = partsOf(element);
  const { student, streak } = row;
  part.row = row;
  setText(part.count, t.stuck.times(student.consecutiveErrors));
  setAttribute(part.count, "title", t.stuck.failed(student.consecutiveErrors));
  part.name.update(student);
  setText(part.place, streakPlace(student, store, t));
  const message = streak === null ? t.stuck.loading : errorLine(streak.message) || t.stuck.noMessage;
  setText(part.message, message);
  setAttribute(part.message, "title", message);
  tick(page, element, clock.now());
}

function tick({ t }, element, now) {
  const { row, since } = partsOf(element);
  setText(since, row.streak?.since ? t.for(t.span(now - row.streak.since)) : "");
}

/** The state says how often someone has failed, not with what: what happened before the page was opened is looked up. */
class Lookups {
  #page;
  #waiting = [];
  #running = new Set();

  constructor(page) {
    this.#page = page;
  }

  want(rows) {
    this.#waiting = rows.filter((row) => row.streak === null || row.streak.since === null);
    this.#next();
  }

  #next() {
    while (this.#running.size < LOOKUPS) {
      const row = this.#waiting.find((row) => !this.#running.has(row.student.studentId));
      if (row === undefined) return;
      this.#waiting = this.#waiting.filter((other) => other !== row);
      this.#look(row);
    }
  }

  async #look(row) {
    const { classId, store } = this.#page;
    const { studentId } = row.student;
    this.#running.add(studentId);
    try {
      const { events } = await api.events(classId, studentId, { limit: LOOKUP_EVENTS });
      // Something may have come meanwhile that knows better.
      if (store.rows.get(studentId) === row && row.status === "stuck") {
        const found = streakOf(events.map(normalize));
        store.learn(row, { message: row.streak?.message ?? found.message, since: found.since });
      }
    } catch {
      // Not now: without it, the row says less. It is asked for again with the next change.
      await new Promise((done) => setTimeout(done, 2_000));
    } finally {
      this.#running.delete(studentId);
      this.#next();
    }
  }
}

/** The failures in a row that a history, newest first, begins with. */
function streakOf(events) {
  const runs = events.filter((event) => event.kind === "cell_executed");
  const last = runs[0];
  if (last === undefined) return { message: null, since: 0 };
  const end = runs.findIndex((run) => !run.failed || run.cell !== last.cell || run.notebook !== last.notebook);
  const streak = end < 0 ? runs : runs.slice(0, Math.max(end, 1));
  return { message: last.message, since: streak.at(-1).received };
}
