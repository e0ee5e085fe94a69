// The page's fold is the relay's: both are held to the same vectors.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { ClassState } from "../../src/dashboard/js/fold.js";
import { renderSummary, restoreState } from "../../src/dashboard/js/summary.js";
import { parseTime } from "../../src/dashboard/js/time.js";

const vectors = JSON.parse(readFileSync(new URL("../vectors/state.json", import.meta.url), "utf8"));

/** Folds those of a class's events that follow on `from`. */
function folded(events, state = new ClassState(), from = 0) {
  for (const [at, event] of events.entries()) {
    if (at < from || !state.fold(event)?.refold) continue;
    state.beginRefold();
    const lesson = events.slice(0, at + 1).filter(({ id }) => id >= state.lesson.first);
    for (const again of lesson) assert.notEqual(state.fold(again)?.refold, true);
  }
  return state;
}

/** A summary as a page gets it. */
function summaryOf(state, now) {
  const settings = { settings: state.settings.written, settingsVersion: `${state.settingsEvent}` };
  const summary = { ...settings, ...renderSummary(state, now) };
  return JSON.parse(JSON.stringify(summary));
}

test("there are vectors", () => assert.ok(vectors.length >= 85));

for (const { name, events, now: at, expect } of vectors) {
  const now = parseTime(at);
  describe(name, () => {
    test("folded from the beginning", () => {
      assert.deepEqual(renderSummary(folded(events), now), expect);
    });

    // A summary may be taken after any event, and the rest be folded onto it.
    test("folded onto a summary", () => {
      const few = [0, 7, 50, 99, events.length];
      const cuts = events.length > 100 ? few : events.map((_, cut) => cut);
      for (const cut of cuts) {
        const summary = summaryOf(folded(events.slice(0, cut)), now);
        const result = renderSummary(folded(events, restoreState(summary), cut), now);
        assert.deepEqual(result, expect, `resumed after ${cut}`);
      }
    });

    test("folded a second time, an event changes nothing", () => {
      const state = folded(events);
      for (const event of events) assert.equal(state.fold(event), null);
      assert.deepEqual(renderSummary(state, now), expect);
    });
  });
}
