// Activity over time: runs in each minute, how many of them failed, and the hands raised.

import { segmentedControl } from "../components/buttons.js";
import { card } from "../components/card.js";
import { legend } from "../components/legend.js";
import { h, s, setAttribute, setText, show } from "../dom.js";
import { ACTIVITY_SPANS } from "../preferences.js";
import { MINUTE } from "../time.js";

/**
 * @import { ActivityMinute } from "../fold.js"
 * @import { Page, View } from "./list.js"
 */

/** The chart's own units: it is stretched to the room that there is. */
const HEIGHT = 120;
const WIDTH = 600;
/** Height of the mark of a raised hand, and of the room for it. */
const HAND = 4;
const HAND_ROOM = 6;
/** The axis ends at one of these, times a power of ten. */
const ROUND = [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10];
/** The axis reaches to this number at least. */
const LEAST_TOP = 4;
/** The number of times below the chart. */
const TICKS = 5;

/**
 * @param {Page} page
 * @returns {View}
 */
export default function activity(page) {
  const { store, clock, t, preferences } = page;
  const options = ACTIVITY_SPANS.map((minutes) => ({
    value: minutes,
    text: t.activity.span(minutes),
  }));
  const spans = segmentedControl(t.activity.spanLabel, options, (minutes) => {
    preferences.set("activityMinutes", minutes);
    draw();
  });
  const whole = h("span", { class: "secondary-text" }, t.limits.whole);
  const view = card("activity", t.activity.heading, whole, spans.element);
  const chart = s("svg", {
    class: "activity-chart",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
  });
  for (const y of [HEIGHT / 2, 0]) {
    chart.append(s("line", { class: "chart-gridline", x1: 0, x2: WIDTH, y1: y, y2: y }));
  }
  const maximum = h("span", { class: "chart-maximum" });
  const ticks = Array.from({ length: TICKS }, () => h("span"));
  const axis = h("div", { class: "chart-axis" }, ticks);
  const key = legend([
    ["outcome-ok", t.activity.runs],
    ["is-failed", t.activity.errors],
    ["is-hand", t.activity.help],
  ]);
  view.body.append(h("div", { class: "chart-area" }, maximum, chart), axis, key);
  /** @type {Bar[]} */
  let bars = [];
  let drawnMinute = 0;

  function draw() {
    const minutes = preferences.get("activityMinutes");
    spans.update(minutes);
    show(whole, page.focus.team !== null);
    if (bars.length !== minutes) {
      for (const bar of bars) bar.element.remove();
      bars = Array.from({ length: minutes }, (_, at) => new Bar(at, minutes));
      chart.append(...bars.map((bar) => bar.element));
    }
    drawnMinute = Math.floor(clock.now() / MINUTE);
    const first = (drawnMinute - minutes + 1) * MINUTE;
    const counts = bars.map((_, at) => {
      const start = first + at * MINUTE;
      return store.state.minutes.get(start) ?? { start, runs: 0, errors: 0, help: 0 };
    });
    const top = roundUp(Math.max(LEAST_TOP, ...counts.map(({ runs }) => runs)));
    counts.forEach((minute, at) => {
      const { start, runs, errors, help } = minute;
      const time = t.clockMinute(start);
      bars[at].update(minute, top, t.activity.minute(time, t.runs(runs), t.failures(errors), help));
    });
    setAttribute(chart, "aria-label", summary(counts));
    setText(maximum, t.activity.perMinute(top));
    ticks.forEach((tick, at) => {
      const minute = Math.round(((minutes - 1) * at) / (TICKS - 1));
      setText(tick, t.clockMinute(first + minute * MINUTE));
    });
  }

  /** @param {ActivityMinute[]} counts */
  function summary(counts) {
    /** @param {"runs" | "errors" | "help"} name */
    const sum = (name) => counts.reduce((total, minute) => total + minute[name], 0);
    const [runs, failures] = [t.runs(sum("runs")), t.failures(sum("errors"))];
    return t.activity.summary(runs, failures, sum("help"), counts.length);
  }

  return {
    element: view.element,
    slot: "board",
    updateCalmly(changes) {
      const isNextMinute = Math.floor(clock.now() / MINUTE) !== drawnMinute;
      if (changes.all || changes.filter || changes.minutes || isNextMinute) draw();
    },
  };
}

/** One minute of the chart. */
class Bar {
  element;
  #ok;
  #failed;
  #hand;
  #title = s("title");

  /**
   * @param {number} at the minute's place
   * @param {number} minutes the number of minutes
   */
  constructor(at, minutes) {
    const step = WIDTH / minutes;
    const place = { x: (at * step + step * 0.12).toFixed(2), width: (step * 0.76).toFixed(2) };
    const hand = { ...place, height: HAND, y: HEIGHT - HAND };
    const target = { x: at * step, width: step, y: 0, height: HEIGHT };
    this.#ok = s("rect", { class: "chart-bar is-ok", ...place });
    this.#failed = s("rect", { class: "chart-bar is-failed", ...place });
    this.#hand = s("rect", { class: "chart-bar is-hand", ...hand });
    const hover = s("rect", { class: "chart-hover", ...target });
    this.element = s("g", {}, this.#title, hover, this.#ok, this.#failed, this.#hand);
  }

  /**
   * @param {ActivityMinute} minute
   * @param {number} top the number at which the axis ends
   * @param {string} text
   */
  update({ runs, errors, help }, top, text) {
    const room = HEIGHT - HAND_ROOM;
    /** @param {number} count */
    const scale = (count) => (count / top) * room;
    placeBar(this.#ok, scale(runs - errors), room - scale(runs));
    placeBar(this.#failed, scale(errors), room - scale(errors));
    setAttribute(this.#hand, "visibility", help > 0 ? null : "hidden");
    setText(this.#title, text);
  }
}

/**
 * @param {SVGRectElement} rect
 * @param {number} height
 * @param {number} y
 */
function placeBar(rect, height, y) {
  setAttribute(rect, "height", Math.max(0, height).toFixed(2));
  setAttribute(rect, "y", y.toFixed(2));
}

/** @param {number} count */
function roundUp(count) {
  const power = 10 ** Math.floor(Math.log10(count));
  const factor = ROUND.find((factor) => factor * power >= count) ?? 10;
  return factor * power;
}
