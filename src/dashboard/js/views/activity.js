// Activity over time: runs a minute, failures among them, hands raised.

import { h, s, setAttribute, setText } from "../dom.js";
import { MINUTE } from "../time.js";
import { card } from "./common.js";

const SPANS = [15, 60, 180];
const HEIGHT = 120;
const WIDTH = 600;
/** The axis's top: one of these, times a power of ten. */
const ROUND = [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10];

export function activity(page) {
  const { store, clock, t, preferences } = page;
  const choices = SPANS.map((minutes) => {
    const choose = () => {
      preferences.set("activityMinutes", minutes);
      draw();
    };
    return h("button", { type: "button", class: "segment-button", data: { minutes }, on: { click: choose } }, t.activity.span(minutes));
  });
  const view = card("activity", t.activity.heading, h("div", { class: "segments", role: "group", "aria-label": t.activity.spanLabel }, choices));
  const chart = s("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  for (const share of [0.5, 1]) {
    const y = HEIGHT * (1 - share);
    chart.append(s("line", { class: "gridline", x1: 0, x2: WIDTH, y1: y, y2: y }));
  }
  const top = h("span", { class: "axis-top" });
  const axis = h("div", { class: "axis" });
  const key = (name, text) => h("span", { class: `key ${name}` }, h("span", { class: "swatch", "aria-hidden": "true" }), text);
  const legend = h("div", { class: "legend" }, key("ok", t.activity.runs), key("failed", t.activity.errors), key("hand", t.activity.help));
  view.body.append(h("div", { class: "chart-box" }, top, chart), axis, legend);
  let bars = [];

  function build(minutes) {
    for (const { group } of bars) group.remove();
    const step = WIDTH / minutes;
    bars = Array.from({ length: minutes }, (_, at) => {
      const place = { x: (at * step + step * 0.12).toFixed(2), width: (step * 0.76).toFixed(2) };
      const [ok, failed] = [s("rect", { class: "bar ok", ...place }), s("rect", { class: "bar failed", ...place })];
      const hand = s("rect", { class: "bar hand", ...place, height: 4, y: HEIGHT - 4 });
      const title = s("title");
      const group = s("g", {}, title, s("rect", { class: "hover", x: at * step, width: step, y: 0, height: HEIGHT }), ok, failed, hand);
      chart.append(group);
      return { group, ok, failed, hand, title };
    });
    const ticks = [0, 1, 2, 3, 4].map(() => h("span"));
    axis.replaceChildren(...ticks);
  }

  function draw() {
    const minutes = preferences.activityMinutes;
    if (bars.length !== minutes) build(minutes);
    for (const choice of choices) setAttribute(choice, "aria-pressed", String(Number(choice.dataset.minutes) === minutes));
    const last = Math.floor(clock.now() / MINUTE) * MINUTE;
    const first = last - (minutes - 1) * MINUTE;
    const none = { runs: 0, errors: 0, help: 0 };
    const counts = bars.map((_, at) => store.state.minutes.get(first + at * MINUTE) ?? none);
    const most = roundUp(Math.max(4, ...counts.map(({ runs }) => runs)));
    counts.forEach(({ runs, errors, help }, at) => {
      const bar = bars[at];
      const scale = (count) => (count / most) * (HEIGHT - 6);
      setBar(bar.ok, scale(runs - errors), HEIGHT - 6 - scale(runs));
      setBar(bar.failed, scale(errors), HEIGHT - 6 - scale(errors));
      setAttribute(bar.hand, "visibility", help > 0 ? null : "hidden");
      setText(bar.title, t.activity.minute(t.clockMinute(first + at * MINUTE), t.runs(runs), t.failures(errors), help));
    });
    const sum = (name) => counts.reduce((total, minute) => total + minute[name], 0);
    setAttribute(chart, "aria-label", t.activity.summary(t.runs(sum("runs")), t.failures(sum("errors")), sum("help"), minutes));
    setText(top, t.activity.perMinute(most));
    [...axis.children].forEach((tick, at, { length }) => {
      setText(tick, t.clockMinute(first + Math.round(((minutes - 1) * at) / (length - 1)) * MINUTE));
    });
  }

  let drawn = 0;
  return {
    element: view.element,
    calm: true,
    update(changes) {
      const minute = Math.floor(clock.now() / MINUTE);
      if (!changes.all && !changes.minutes && minute === drawn) return;
      drawn = minute;
      draw();
    },
  };
}

function setBar(rect, height, y) {
  setAttribute(rect, "height", Math.max(0, height).toFixed(2));
  setAttribute(rect, "y", y.toFixed(2));
}

function roundUp(count) {
  const power = 10 ** Math.floor(Math.log10(count));
  return ROUND.find((factor) => factor * power >= count) * power;
}
