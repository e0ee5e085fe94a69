// A page that is open all day holds no more in the afternoon than in the morning.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { LongDay, RATE } from "./long-day.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

/** Whether the whole day is measured, and not a short one: 1,440,000 events. */
const IS_WHOLE = "LONG_DAY" in process.env;
/** An hour, in events. */
const HOUR = IS_WHOLE ? RATE * 3600 : 7_500;
const HOURS = 8;
/** After so many events nearly every student has run every cell. A whole hour has more. */
const SETTLED = IS_WHOLE ? 0 : 40_000;
/** The heap of the last hour is at most that of the first, and this share. */
const GROWTH = 0.1;

/** The heap in use after everything that nobody holds was freed, in bytes. */
function heap() {
  collect();
  return process.memoryUsage().heapUsed;
}

test("the heap of the eighth hour is that of the first", () => {
  const day = new LongDay();
  const before = heap();
  day.fold(SETTLED);
  const held = [];
  for (let hour = 1; hour <= HOURS; hour += 1) {
    const begun = performance.now();
    day.fold(HOUR);
    const took = performance.now() - begun;
    held.push(heap() - before);
    if (IS_WHOLE) {
      const { cells, minutes, students } = day.store.state;
      console.log(
        `hour ${hour}: ${(held.at(-1) / 2 ** 20).toFixed(2)} MiB; ` +
          `${((took / HOUR) * 1000).toFixed(1)} µs an event; ${students.size} students, ` +
          `${cells.size} cells, ${minutes.size} minutes`,
      );
    }
  }
  assert.equal(day.store.rows.size, 200);
  assert.ok(day.store.totals.runs > HOURS * HOUR * 0.8);
  const [first, last] = [held[0], held.at(-1)];
  assert.ok(last < first * (1 + GROWTH), `${first} bytes after an hour, ${last} after ${HOURS}`);
});
