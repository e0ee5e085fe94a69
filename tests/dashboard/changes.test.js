import assert from "node:assert/strict";
import { test } from "node:test";

import { addChanges, bound, newChanges, noteRaised } from "../../src/dashboard/js/changes.js";

const rows = (count) => Array.from({ length: count }, (_, at) => ({ at }));

test("of very many hands the latest are told", () => {
  const changes = newChanges();
  for (const row of rows(150)) noteRaised(changes, row);
  assert.equal(changes.raised.length, 100);
  assert.equal(changes.raised.at(-1).at, 149);
  addChanges(changes, { ...newChanges(), raised: rows(50) });
  assert.deepEqual(
    [changes.raised.length, changes.raised[0].at, changes.raised.at(-1).at],
    [100, 100, 49],
  );
});

test("of very many changes everything is drawn", () => {
  const changes = newChanges();
  for (const row of rows(10_000)) changes.students.add(row);
  bound(changes);
  assert.deepEqual([changes.all, changes.students.size], [false, 10_000]);
  addChanges(changes, { ...newChanges(), students: new Set(rows(1)), cells: new Set(rows(1)) });
  assert.deepEqual([changes.all, changes.students.size, changes.cells.size], [true, 0, 0]);
});

test("changes that are not drawn yet are all of both", () => {
  const changes = { ...newChanges(), tick: true };
  addChanges(changes, { ...newChanges(), presence: true, minutes: true });
  assert.deepEqual([changes.tick, changes.presence, changes.minutes], [true, true, true]);
  assert.equal(changes.all, false);
});
