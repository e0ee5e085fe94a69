import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { fakePage, fakeTimers } from "./browser.js";
import { Presence } from "../../src/dashboard/js/presence.js";
import { formatTime, MINUTE, SECOND } from "../../src/dashboard/js/time.js";

const document = fakePage();
const timers = fakeTimers();
let now = 0;
mock.method(performance, "now", () => now);
const START = 1_800_000_000 * SECOND;
const clock = () => START + now * 1000;

/** Lets time pass, in seconds, as on a page. */
async function pass(presence, seconds) {
  for (let second = 0; second < seconds; second += 1) {
    now += 1000;
    await timers.pass(1000);
    presence.tick();
  }
}

function presenceOf(name, hasBegun = () => true) {
  const sent = [];
  const send = async (looksAt) => sent.push(looksAt);
  const around = { name: () => name, now: clock, hasBegun, send, changed: () => {} };
  return { presence: new Presence(around), sent };
}

const viewing = (actor, student, age = 0) => ({
  eventType: "instructor_viewing",
  actor,
  student,
  receivedAt: formatTime(clock() - age),
});

test("what is shown for two seconds is told, once, and again every five minutes", async () => {
  const { presence, sent } = presenceOf("Ito");
  presence.look("s0");
  await pass(presence, 3);
  assert.deepEqual(sent, [], "the class is not followed yet");
  presence.begin(null);
  await pass(presence, 1);
  presence.look("s1");
  await pass(presence, 1);
  presence.look("s2");
  await pass(presence, 3);
  presence.look("s2");
  await pass(presence, 3);
  assert.deepEqual(sent, [{ by: "Ito", student: "s2" }]);
  presence.look(null);
  await pass(presence, 3);
  assert.deepEqual(sent[1], { by: "Ito" });
  await pass(presence, 300);
  assert.equal(sent.length, 3);
  document.visibilityState = "hidden";
  await pass(presence, 600);
  assert.equal(sent.length, 3, "nobody looks at a hidden page");
  document.visibilityState = "visible";
  presence.clear();
  await pass(presence, 400);
  assert.equal(sent.length, 3);
});

test("who has no name tells nothing", async () => {
  const { presence, sent } = presenceOf("");
  presence.begin("s1");
  await pass(presence, 400);
  assert.deepEqual(sent, []);
});

test("a class without events is not brought into being by being looked at", async () => {
  let hasBegun = false;
  const { presence, sent } = presenceOf("Ito", () => hasBegun);
  presence.begin("s1");
  await pass(presence, 400);
  assert.deepEqual(sent, []);
  hasBegun = true;
  await pass(presence, 2);
  assert.deepEqual(sent, [{ by: "Ito", student: "s1" }]);
  await pass(presence, 200);
  assert.equal(sent.length, 1);
});

test("others are there until six minutes after their last word", async () => {
  const { presence } = presenceOf("Ito");
  presence.hear(viewing("Ito", "s1"));
  presence.hear(viewing("Old", "s1", 7 * MINUTE));
  presence.hear({ ...viewing("Who", "s1"), eventType: "help_claimed" });
  presence.hear(viewing(7, "s1"));
  assert.deepEqual(presence.others(), []);
  presence.hear(viewing("Sato", "s1"));
  presence.hear(viewing("Abe", undefined));
  assert.deepEqual(presence.viewersOf("s1"), ["Sato"]);
  assert.deepEqual(
    presence.others().map(({ name }) => name),
    ["Abe", "Sato"],
  );
  await pass(presence, 200);
  presence.hear(viewing("Sato", "s2"));
  assert.deepEqual(presence.viewersOf("s1"), []);
  await pass(presence, 200);
  assert.deepEqual(
    presence.others().map(({ name }) => name),
    ["Sato"],
  );
  for (let at = 0; at < 500; at += 1) presence.hear(viewing(`i${at}`, "s"));
  assert.equal(presence.others().length, 100);
});

test("a newcomer is answered, but not each one by itself", async () => {
  const { presence, sent } = presenceOf("Ito");
  presence.begin(null);
  await pass(presence, 3);
  for (let at = 0; at < 20; at += 1) presence.hear(viewing(`i${at}`));
  await pass(presence, 20);
  assert.equal(sent.length, 2);
  presence.hear(viewing("i1"));
  await pass(presence, 20);
  assert.equal(sent.length, 2, "an old acquaintance");
});
