import assert from "node:assert/strict";
import { test } from "node:test";

import { readSettings } from "../../src/dashboard/js/settings.js";
import { SECOND } from "../../src/dashboard/js/time.js";

test("settings that are not there are the usual ones", () => {
  for (const value of [undefined, null, 7, "position", [], {}]) {
    const { cellsBy, notebooksBy, stuckAfter, idleAfter, roster } = readSettings(value);
    assert.deepEqual([cellsBy, notebooksBy, stuckAfter], ["id", "path", 3]);
    assert.deepEqual([idleAfter, roster.size], [120 * SECOND, 0]);
  }
});

test("a threshold beyond its bounds is not set", () => {
  const stuckAfter = (value) => readSettings({ stuckAfter: value }).stuckAfter;
  assert.deepEqual([0, 1, 100, 101, 2.5, "2", null].map(stuckAfter), [3, 1, 100, 3, 3, 3, 3]);
  const idleAfter = (value) => readSettings({ idleAfter: value }).idleAfter / SECOND;
  assert.deepEqual([9, 10, 86_400, 86_401].map(idleAfter), [120, 10, 86_400, 120]);
});

test("a roster has at most 10,000 entries, usable or not", () => {
  const entry = (id) => ({ id: `s${id}` });
  const many = Array.from({ length: 10_001 }, (_, id) => entry(id));
  const { roster } = readSettings({ roster: [null, ...many] });
  assert.equal(roster.size, 9_999);
  assert.equal(roster.has("s9998"), true);
  assert.equal(roster.has("s9999"), false);
});
