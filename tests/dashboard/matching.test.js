import assert from "node:assert/strict";
import { test } from "node:test";

import { cellOf, messageKey, notebookOf } from "../../src/dashboard/js/matching.js";

test("a notebook has one name", () => {
  const byPath = (path) => notebookOf(path, { notebooksBy: "path" });
  const byName = (path) => notebookOf(path, { notebooksBy: "name" });
  for (const path of ["lesson1.ipynb", "RTC:lesson1.ipynb", "./lesson1.ipynb", "//lesson1.ipynb"]) {
    assert.equal(byPath(path), "lesson1.ipynb", path);
  }
  for (const path of ["alice/lesson1.ipynb", "lesson1-Copy1.ipynb", "RTC:a/lesson1-Copy12.ipynb"]) {
    assert.equal(byName(path), "lesson1.ipynb", path);
  }
  assert.deepEqual([null, "RTC:", "./", "a:.//"].map(byPath), [null, null, null, null]);
});

test("a cell is its id, or its place", () => {
  assert.equal(cellOf("a", 3, { cellsBy: "id" }), "a");
  assert.equal(cellOf(null, 3, { cellsBy: "id" }), "#3");
  assert.equal(cellOf("a", 3, { cellsBy: "position" }), "#3");
  assert.equal(cellOf("a", null, { cellsBy: "position" }), "a");
  assert.equal(cellOf(null, null, { cellsBy: "position" }), null);
});

test("what differs from run to run does not count", () => {
  assert.equal(messageKey("invalid (3521570167.py, line 1)"), "invalid (*.py, line 1)");
  assert.equal(messageKey("<A at 0x7f3a9c0b12d0> in ipykernel_12"), "<A at *> in *");
  assert.equal(messageKey("commit a94a8fe5ccb19ba6"), "commit *");
  const same = "name 'x1234567' 123456 0x1f deadbeefcafe a94a8fe5ccb";
  assert.equal(messageKey(same), same);
});
