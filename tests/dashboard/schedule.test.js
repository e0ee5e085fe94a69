import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { Schedule } from "../../src/dashboard/js/schedule.js";
import { fakePage, fakeTimers, setGlobal } from "./browser.js";

let document;
let timers;
let frames;
let drawn;
let time;
let schedule;

beforeEach(() => {
  document = fakePage();
  timers = fakeTimers();
  frames = [];
  drawn = [];
  time = 10_000;
  setGlobal("requestAnimationFrame", (run) => frames.push(run));
  mock.method(performance, "now", () => time);
  schedule = new Schedule(
    () => drawn.push("draw"),
    () => drawn.push("calm"),
  );
});

afterEach(() => mock.restoreAll());

/** Runs the frames that were requested; returns what was drawn in them. */
function frame() {
  for (const run of frames.splice(0)) run();
  return drawn.splice(0);
}

test("many requests are one frame", () => {
  for (let request = 0; request < 5; request += 1) schedule.request();
  assert.equal(frames.length, 1);
  assert.deepEqual(frame(), ["draw", "calm"]);
  assert.deepEqual(frame(), []);
});

test("what is read is drawn twice a second at most, and not forgotten", async () => {
  schedule.request();
  frame();
  time += 100;
  schedule.request();
  assert.deepEqual(frame(), ["draw"]);
  time += 100;
  schedule.request();
  assert.deepEqual(frame(), ["draw"]);
  // One timeout, for the rest of the half second since it was drawn.
  assert.deepEqual(timers.waits, [400]);
  time += 300;
  await timers.pass(400);
  assert.deepEqual(frame(), ["draw", "calm"]);
});

test("everything is drawn at once when the page was made again", () => {
  schedule.request();
  frame();
  schedule.requestAll();
  assert.deepEqual(frame(), ["draw", "calm"]);
});

test("a hidden page is drawn by a timeout, since it gets no frames", async () => {
  document.hidden = true;
  schedule.request();
  assert.equal(frames.length, 0);
  await timers.pass(1_000);
  assert.deepEqual(drawn.splice(0), ["draw", "calm"]);
});

test("a page that is shown again does not wait for an old request", async () => {
  document.hidden = true;
  schedule.request();
  document.hidden = false;
  document.dispatchEvent(new Event("visibilitychange"));
  assert.deepEqual(frame(), ["draw", "calm"]);
  await timers.pass(1_000);
  assert.deepEqual(drawn, []);
});
