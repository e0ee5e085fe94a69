// The page's fold is the relay's: both are held to the same vectors.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { ClassState } from "../../src/dashboard/js/fold.js";
import { renderSummary, restoreState } from "../../src/dashboard/js/summary.js";
import { parseTime } from "../../src/dashboard/js/time.js";

const vectors = JSON.parse(readFileSync(new URL("../vectors/state.json", import.meta.url), "utf8"));

function folded(events, state = new ClassState()) {
  for (const event of events) state.fold(event);
  return state;
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
        const summary = renderSummary(folded(events.slice(0, cut)), now);
        const resumed = restoreState(JSON.parse(JSON.stringify(summary)));
        const result = renderSummary(folded(events.slice(cut), resumed), now);
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
