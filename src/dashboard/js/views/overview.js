// The number of students of each status. Each number is a filter of the grid, too.

import { setPressed } from "../components/buttons.js";
import { countByStatus, statusBar } from "../components/status.js";
import { h, setAttribute, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { STATUSES } from "../student.js";
import { downloads } from "./overview-downloads.js";

/**
 * @import { Counts } from "../components/status.js"
 * @import { Row } from "../store.js"
 * @import { Status } from "../student.js"
 * @import { Page, View } from "./list.js"
 */

/**
 * @param {Page} page
 * @returns {View}
 */
export default function overview(page) {
  const { store, clock, t } = page;
  const tiles = STATUSES.map((status) => statusTile(page, status));
  const bar = statusBar(t);
  const totals = h("span");
  const over = h("p", { class: "lesson-over", role: "status" });
  const numbers = h(
    "div",
    { class: "status-tiles" },
    tiles.map((tile) => tile.element),
  );
  const element = h(
    "section",
    { class: "overview", "aria-labelledby": "overview-heading" },
    h("h2", { class: "visually-hidden", id: "overview-heading" }, t.overview.heading),
    over,
    numbers,
    bar.element,
    h("div", { class: "class-totals" }, totals, downloads(page)),
  );

  function draw() {
    const { focus } = page;
    const rows = focus.team === null ? null : focus.ofTeam(store.rows.values());
    const counts = rows === null ? store.counts : countByStatus(rows);
    const size = rows === null ? store.rows.size : rows.length;
    for (const tile of tiles) tile.update(counts);
    bar.update(counts, size);
    const { runs, errors } = rows === null ? store.totals : totalsOf(rows);
    const absent = store.absent().filter((student) => focus.hasTeam(student));
    const here = t.attendance(size, absent.length);
    setText(totals, [here, t.runs(runs), t.failures(errors)].join(" · "));
    show(element, store.isKnown);
  }

  /** Says that what is shown is the lesson that was: nobody is idle since yesterday. */
  function drawLesson() {
    const { lastReceivedAt } = store.state;
    const isOver = store.state.isOver(clock.now());
    show(over, isOver);
    show(numbers, !isOver);
    show(bar.element, !isOver);
    if (isOver)
      setText(over, t.overview.over(t.day(lastReceivedAt), t.clockMinute(lastReceivedAt)));
  }

  return {
    element,
    slot: "main",
    update(changes) {
      const changed = changes.all || changes.filter || changes.statuses;
      if (changed || changes.students.size > 0) draw();
      if (changes.all || changes.tick) drawLesson();
    },
  };
}

/** @param {Row[]} rows */
function totalsOf(rows) {
  const totals = { runs: 0, errors: 0 };
  for (const { runs, errors } of rows) {
    totals.runs += runs;
    totals.errors += errors;
  }
  return totals;
}

/**
 * @param {Page} page
 * @param {Status} status
 */
function statusTile(page, status) {
  const { store, t } = page;
  const number = h("span", { class: "status-tile-number" });
  const choose = () => page.filter(page.status === status ? null : status);
  const element = h(
    "button",
    {
      type: "button",
      class: "status-tile",
      data: { status },
      on: { click: choose },
    },
    h("span", { class: "status-tile-label" }, icon(status), t.status[status]),
    number,
  );
  return {
    element,
    /** @param {Counts} counts */
    update(counts) {
      const count = counts[status];
      const { stuckAfter, idleAfter } = store.state.settings;
      setAttribute(element, "title", t.statusHint(status, stuckAfter, t.span(idleAfter)));
      setText(number, t.number(count));
      element.classList.toggle("is-zero", count === 0);
      setPressed(element, page.status === status);
      setAttribute(element, "aria-label", t.overview.filter(t.status[status], count));
    },
  };
}
