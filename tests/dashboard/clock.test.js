import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Clock } from "../../src/dashboard/js/clock.js";
import { HOUR, SECOND, formatTime } from "../../src/dashboard/js/time.js";

/** What the counting clock shows, in milliseconds. */
let counted;
mock.method(performance, "now", () => counted);
beforeEach(() => {
  counted = 5_000;
});

/** A clock that was told 10 s when the counting clock showed 5 s. */
function clockAtTen() {
  const clock = new Clock();
  clock.set(formatTime(10 * SECOND), counted);
  return clock;
}

test("without an answer it is this machine's clock when the page was opened", () => {
  const opened = Math.round(performance.timeOrigin * 1000);
  assert.equal(new Clock().now(), opened + 5 * SECOND);
});

test("an answer's time was read halfway between question and answer", () => {
  const clock = new Clock();
  const asked = counted;
  counted += 200;
  clock.set(formatTime(5_000_000), asked);
  assert.equal(clock.now(), 5_000_000 + 100_000);
  counted += 1_000;
  assert.equal(clock.now(), 5_000_000 + 1_100_000);
});

test("a word without a time changes nothing", () => {
  const clock = clockAtTen();
  clock.set("now", counted);
  clock.hear("now");
  assert.equal(clock.now(), 10 * SECOND);
});

test("a step of this machine's clock changes nothing", () => {
  const clock = clockAtTen();
  const stepped = mock.method(Date, "now", () => 0);
  counted += 1_000;
  assert.equal(clock.now(), 11 * SECOND);
  clock.hear(formatTime(11 * SECOND));
  assert.equal(clock.now(), 11 * SECOND);
  assert.equal(stepped.mock.callCount(), 0);
});

test("it says what the time was, also while it is held", () => {
  const clock = clockAtTen();
  counted += 5_000;
  assert.equal(clock.timeAt(7_000), 12 * SECOND);
  clock.hold(HOUR);
  assert.equal(clock.timeAt(7_000), 12 * SECOND);
});

test("it is never earlier than what was received", () => {
  const clock = clockAtTen();
  clock.atLeast(10 * SECOND + 7);
  assert.equal(clock.now(), 10 * SECOND + 7);
  clock.atLeast(9 * SECOND);
  assert.equal(clock.now(), 10 * SECOND + 7);
});

test("a counting clock that stood still while the machine slept is put right by a mark", () => {
  const clock = clockAtTen();
  clock.hear(formatTime(2 * HOUR));
  assert.equal(clock.now(), 2 * HOUR);
});

test("a time that was long on its way changes nothing", () => {
  const clock = clockAtTen();
  counted += 20_000;
  clock.hear(formatTime(11 * SECOND));
  assert.equal(clock.now(), 30 * SECOND);
});

test("a clock that is ahead follows once all that it heard lately says so", () => {
  const clock = clockAtTen();
  clock.atLeast(HOUR);
  const heard = [];
  for (let mark = 1; mark <= 8; mark += 1) {
    counted += 25_000;
    const now = (10 + 25 * mark) * SECOND;
    clock.hear(formatTime(now));
    heard.push(clock.now() - now);
  }
  const ahead = HOUR - 10 * SECOND;
  assert.deepEqual(heard, [...Array(7).fill(ahead), 0]);
});
