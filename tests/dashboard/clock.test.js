import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Clock } from "../../src/dashboard/js/clock.js";
import { formatTime } from "../../src/dashboard/js/time.js";

/** This machine's clock, in milliseconds. */
let local = 1_700_000_000_000;
mock.method(Date, "now", () => local);
beforeEach(() => {
  local = 1_700_000_000_000;
});

test("without an answer it is this machine's clock", () => {
  assert.equal(new Clock().now(), local * 1000);
});

test("an answer's time was read halfway between question and answer", () => {
  const clock = new Clock();
  const asked = local;
  local += 200;
  clock.set(formatTime(5_000_000), asked);
  assert.equal(clock.now(), 5_000_000 + 100_000);
  local += 1_000;
  assert.equal(clock.now(), 5_000_000 + 1_100_000);
});

test("an answer without a time changes nothing", () => {
  const clock = new Clock();
  clock.set("now", local);
  assert.equal(clock.now(), local * 1000);
});

test("it is never earlier than what was received", () => {
  const clock = new Clock();
  clock.atLeast(local * 1000 + 7);
  assert.equal(clock.now(), local * 1000 + 7);
  clock.atLeast(local * 1000 - 1_000_000);
  assert.equal(clock.now(), local * 1000 + 7);
});
