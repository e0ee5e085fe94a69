import assert from "node:assert/strict";
import { test } from "node:test";

import { normalize } from "../../src/dashboard/js/normalize.js";
import { formatTime } from "../../src/dashboard/js/time.js";
import { HOUR, MINUTE, SECOND } from "../../src/dashboard/js/time.js";
import { entriesOf } from "../../src/dashboard/js/views/drawer-entries.js";

const NOW = Date.UTC(2026, 3, 3, 12) * 1000;
const t = { dayOfYear: (moment) => formatTime(moment).slice(0, 10) };
let id = 0;

/** An event of the student's, some time ago. */
function event(ago, eventType, more = {}) {
  id += 1;
  const receivedAt = formatTime(NOW - ago);
  const delivered = { id, studentId: "s1", eventType, receivedAt, ...more };
  return { delivered, event: normalize(delivered, { cellsBy: "id", notebooksBy: "path" }) };
}

/** What the list says. */
const listed = (events, now = NOW) =>
  entriesOf(events, now, t).map(({ kind, day, events: { length } }) => day ?? `${length} ${kind}`);

test("a day stands above its events, but for today", () => {
  const events = [
    event(MINUTE, "notebook_opened"),
    event(13 * HOUR, "notebook_opened"),
    event(14 * HOUR, "notebook_saved"),
    event(40 * HOUR, "notebook_opened"),
  ];
  assert.deepEqual(listed(events), [
    "1 notebook_opened",
    "2026-04-02",
    "1 notebook_opened",
    "1 notebook_saved",
    "2026-04-01",
    "1 notebook_opened",
  ]);
  // An earlier lesson is looked at days later.
  assert.deepEqual(listed(events.slice(0, 1), NOW + 48 * HOUR), [
    "2026-04-03",
    "1 notebook_opened",
  ]);
});

test("what came after midnight has no day of its own among those of the day before", () => {
  const late = event(11 * HOUR, "notebook_saved");
  const events = [event(MINUTE, "help"), event(13 * HOUR, "help"), late, event(14 * HOUR, "help")];
  assert.deepEqual(listed(events), [
    "1 help",
    "2026-04-02",
    "1 help",
    "1 notebook_saved",
    "1 help",
  ]);
});

test("repeats of a hand are one entry, until it says something else", () => {
  const said = (ago, message) => event(ago * SECOND, "help", message ? { message } : {});
  const events = [said(1, "b"), said(11), said(21, "b"), said(31, "a"), said(41, "a")];
  assert.deepEqual(listed(events), ["3 help", "2 help"]);
});

test("a message of another kind of event is none of the student's words", () => {
  const { event: saved } = event(0, "notebook_saved", { message: "x" });
  assert.equal(saved.helpMessage, null);
  assert.equal(event(0, "help", { message: "" }).event.helpMessage, null);
});
