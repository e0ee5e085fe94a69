import assert from "node:assert/strict";
import { test } from "node:test";

import { lapses } from "../../src/dashboard/js/lapses.js";
import { normalize } from "../../src/dashboard/js/normalize.js";
import { readSettings } from "../../src/dashboard/js/settings.js";
import { SECOND, formatTime, parseTime } from "../../src/dashboard/js/time.js";

const BEGIN = parseTime("2026-04-01T09:00:00.000000Z");

/** The seconds at which the last `help` of a hand that lapsed was received. */
function lapsed(now, ...events) {
  const normalized = events.map(([second, eventType, fields], at) => {
    const receivedAt = formatTime(BEGIN + second * SECOND);
    return normalize(
      { id: at + 1, studentId: "s1", receivedAt, eventType, ...fields },
      readSettings({}),
    );
  });
  return lapses(normalized, BEGIN + now * SECOND).map(
    ({ received }) => (received - BEGIN) / SECOND,
  );
}

test("a hand lapses 75 s after its last repeat", () => {
  assert.deepEqual(lapsed(104, [0, "help"], [30, "help"]), []);
  assert.deepEqual(lapsed(105, [0, "help"], [30, "help"]), [30]);
});

test("a hand that lapsed and went up again lapses again", () => {
  assert.deepEqual(lapsed(400, [0, "help"], [100, "help"], [110, "cell_executed"]), [0, 100]);
});

test("a hand that was lowered or resolved does not lapse", () => {
  assert.deepEqual(lapsed(400, [0, "help"], [20, "help_stop"]), []);
  assert.deepEqual(lapsed(400, [0, "help"], [20, "help_resolved"], [30, "help"]), []);
  // It is another hand once the first one's repeats have ended.
  const again = [
    [0, "help"],
    [20, "help_resolved"],
    [200, "help"],
  ];
  assert.deepEqual(lapsed(400, ...again), [200]);
});

test("a hand until help_stop does not lapse", () => {
  assert.deepEqual(lapsed(4_000, [0, "help", { until: "help_stop" }]), []);
});
