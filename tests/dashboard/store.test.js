import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { cellName } from "../../src/dashboard/js/cell.js";
import { addChanges, newChanges } from "../../src/dashboard/js/changes.js";
import { Clock } from "../../src/dashboard/js/clock.js";
import { Store } from "../../src/dashboard/js/store.js";
import { renderSummary } from "../../src/dashboard/js/summary.js";
import { HOUR, MINUTE, SECOND, formatTime } from "../../src/dashboard/js/time.js";

/** The database's clock, in microseconds. */
let now;
mock.method(performance, "now", () => now / 1000 - performance.timeOrigin);

let store;
let drawings;
let id;

beforeEach(() => {
  now = Date.UTC(2026, 3, 1, 9) * 1000;
  drawings = 0;
  id = 0;
  store = new Store(new Clock(), () => {
    drawings += 1;
  });
});

function event(studentId, eventType, fields = {}) {
  id += 1;
  const at = formatTime(now);
  return { id, studentId, receivedAt: at, eventTime: at, eventType, ...fields };
}

const run = (studentId, errorMessage, fields) =>
  event(studentId, "cell_executed", {
    cellId: "c1",
    notebookPath: "lesson1.ipynb",
    ...(errorMessage ? { hasError: true, errorMessage } : {}),
    ...fields,
  });

const summaryOf = ({ state }) => ({
  now: formatTime(now),
  cursor: "k",
  ...renderSummary(state, now),
});

test("an event changes its student, and no other", () => {
  store.fold([run("s1"), run("s2")]);
  store.takeChanges();
  store.fold([run("s2", "NameError: x")]);
  const changes = store.takeChanges();
  assert.deepEqual([...changes.students], [store.rows.get("s2")]);
  assert.equal(changes.cells.size, 1);
  assert.ok(changes.minutes && changes.statuses && !changes.all);
  assert.deepEqual(store.counts, { help: 0, stuck: 0, error: 1, active: 1, idle: 0 });
  assert.deepEqual(store.totals, { runs: 3, errors: 1 });
  assert.equal(drawings, 2);
});

test("changes are taken once", () => {
  store.fold([run("s1")]);
  assert.equal(store.takeChanges().students.size, 1);
  assert.equal(store.takeChanges().students.size, 0);
});

test("an event that was folded before changes nothing", () => {
  const first = run("s1");
  store.fold([first]);
  store.takeChanges();
  store.fold([first]);
  assert.deepEqual(store.takeChanges(), newChanges());
  assert.deepEqual(store.totals, { runs: 1, errors: 0 });
});

test("time alone changes a status", () => {
  store.fold([run("s1"), run("s2", "NameError: x")]);
  store.takeChanges();
  now += 2 * MINUTE - SECOND;
  store.tick();
  assert.equal(store.takeChanges().students.size, 0);
  now += SECOND;
  store.tick();
  const changes = store.takeChanges();
  assert.deepEqual([...changes.students], [store.rows.get("s1")]);
  assert.ok(changes.tick && changes.statuses);
  assert.deepEqual(store.counts, { help: 0, stuck: 0, error: 1, active: 0, idle: 1 });
  now += 3 * MINUTE;
  store.tick();
  assert.deepEqual(store.counts, { help: 0, stuck: 0, error: 0, active: 0, idle: 2 });
});

test("a hand that goes up is noted once", () => {
  store.fold([event("s1", "help")]);
  assert.deepEqual(store.takeChanges().raised, [store.rows.get("s1")]);
  now += 10 * SECOND;
  store.fold([event("s1", "help")]);
  assert.deepEqual(store.takeChanges().raised, []);
  assert.deepEqual(store.withStatus("help"), [store.rows.get("s1")]);
  store.fold([event("s1", "help_resolved")]);
  assert.deepEqual(store.withStatus("help"), []);
});

test("the failures in a row are followed", () => {
  const began = now;
  store.fold([run("s1", "NameError: x")]);
  now += SECOND;
  store.fold([run("s1", "TypeError: y")]);
  const row = store.rows.get("s1");
  const cell = cellName("lesson1.ipynb", "c1");
  assert.deepEqual(row.failing, { cell, message: "TypeError: y", since: began });
  assert.equal(row.streak?.failures, 2);
  store.fold([run("s1")]);
  assert.deepEqual([row.failing, row.streak], [null, null]);
});

test("of several cells that fail, the one that makes stuck is followed", () => {
  const other = { cellId: "c2" };
  store.fold([1, 2, 3].map(() => run("s1", "NameError: x")));
  store.fold([run("s1", "TypeError: y", other)]);
  const row = store.rows.get("s1");
  assert.deepEqual([row.streak?.cellId, row.failing?.message], ["c1", "NameError: x"]);
  store.fold([run("s1")]);
  // What the error of the other cell was is looked up.
  assert.deepEqual([row.streak?.cellId, row.failing], ["c2", null]);
});

test("a lesson that begins forgets the students, and draws everything", () => {
  store.fold([run("s1", "NameError: x"), event("s2", "help")]);
  store.takeChanges();
  now += 6 * HOUR;
  store.fold([run("s2")]);
  assert.ok(store.takeChanges().all);
  assert.deepEqual([...store.rows.keys()], ["s2"]);
  assert.deepEqual(store.counts, { help: 0, stuck: 0, error: 0, active: 1, idle: 0 });
  assert.deepEqual(store.totals, { runs: 1, errors: 0 });
  assert.deepEqual(
    store.absent().map(({ studentId }) => studentId),
    ["s1"],
  );
  store.fold([run("s1")]);
  assert.deepEqual(store.absent(), []);
});

test("the roster's students are known before anybody comes", () => {
  const roster = [{ id: "s1", name: "Ann" }, { id: "s2" }];
  store.load({ ...summaryOf(store), settings: { roster } }, performance.now());
  assert.ok(store.isKnown);
  assert.deepEqual(
    store.absent().map(({ userName }) => userName),
    ["Ann", null],
  );
});

test("a lesson is over when the next event begins another one", () => {
  assert.equal(store.state.isOver(now), false);
  store.fold([run("s1")]);
  assert.equal(store.state.isOver(now + 6 * HOUR - 1), false);
  assert.equal(store.state.isOver(now + 6 * HOUR), true);
});

test("an instructor's act for somebody who is not here makes no row", () => {
  store.fold([event("s1", "help"), event("@class", "lesson_started")]);
  store.fold([event("s1", "help_resolved"), event("s1", "help_claimed", { by: "Ito" })]);
  assert.equal(store.rows.size, 0);
});

test("settings that change ask for a new summary", () => {
  const change = (settings) => event("@class", "settings_changed", { settings });
  // With the lesson's first event too: without the roster of before, others are not here.
  assert.equal(store.fold([change({ stuckAfter: 2 }), run("s1")]), true);
  assert.equal(store.rows.has("s1"), false);
  store.load({ ...summaryOf(store), settings: { stuckAfter: 2 } }, performance.now());
  assert.equal(store.fold([run("s1", "E"), run("s1", "E")]), false);
  assert.equal(store.counts.stuck, 1);
  const later = run("s2");
  assert.equal(store.fold([run("s1"), change({ cellsBy: "position" }), later]), true);
  assert.equal(store.rows.has("s2"), false);
  assert.equal(store.counts.active, 1);
});

test("a summary replaces the state and keeps what was looked up", () => {
  store.fold([run("s1", "NameError: x"), run("s1", "NameError: x"), run("s2")]);
  const summary = JSON.parse(JSON.stringify(summaryOf(store)));
  const { failing } = store.rows.get("s1");
  const reloaded = mock.fn();
  store.watch({ event: () => {}, reloaded });
  store.load(summary, performance.now());
  assert.equal(reloaded.mock.callCount(), 1);
  assert.ok(store.loaded && store.takeChanges().all);
  assert.deepEqual(store.rows.get("s1").failing, failing);
  assert.deepEqual(store.totals, { runs: 3, errors: 2 });
  assert.deepEqual([...store.notebooks], ["lesson1.ipynb"]);
  // Another number of failures: what was known says nothing about them.
  summary.students[0].streaks[0].failures += 1;
  store.load(summary, performance.now());
  assert.equal(store.rows.get("s1").failing, null);
});

test("clearing forgets the class", () => {
  store.fold([run("s1")]);
  store.clear();
  assert.equal(store.rows.size, 0);
  assert.deepEqual(store.totals, { runs: 0, errors: 0 });
  assert.ok(store.takeChanges().all && !store.loaded);
});

test("a watcher is told every event until it ends", () => {
  const told = [];
  const end = store.watch({ event: ({ id }) => told.push(id), reloaded: () => {} });
  store.fold([run("s1"), run("s2")]);
  end();
  store.fold([run("s3")]);
  assert.deepEqual(told, [1, 2]);
});

test("students of one name are told apart while there are several", () => {
  const named = (studentId, userName) => event(studentId, "notebook_opened", { userName });
  const isShared = () => store.hasNamesake(store.rows.get("s1").student);
  store.fold([named("s1", "Ann"), named("s2", "Bea")]);
  assert.equal(isShared(), false);
  store.takeChanges();
  store.fold([named("s3", "Ann")]);
  assert.ok(isShared() && store.takeChanges().statuses);
  // Somebody who is not here, of the same name as one who is.
  assert.ok(store.hasNamesake({ studentId: "s9", userName: "Bea" }));
  store.fold([named("s3", "Cora")]);
  assert.equal(isShared(), false);
  assert.ok(store.takeChanges().statuses);
});

test("a student that the state evicts has no row", () => {
  store.fold(Array.from({ length: 10_001 }, (_, number) => event(`s${number}`, "notebook_opened")));
  assert.equal(store.rows.size, 10_000);
  assert.equal(store.rows.has("s0"), false);
  assert.equal(store.counts.active, 10_000);
});

test("later changes are added to those that are not drawn", () => {
  store.fold([run("s1")]);
  const pending = store.takeChanges();
  store.fold([event("s2", "help")]);
  store.note("filter");
  addChanges(pending, store.takeChanges());
  assert.deepEqual([...pending.students], [...store.rows.values()]);
  assert.ok(pending.filter && pending.minutes && !pending.tick);
  assert.equal(pending.raised.length, 1);
});
