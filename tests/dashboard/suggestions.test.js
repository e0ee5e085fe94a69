import assert from "node:assert/strict";
import { test } from "node:test";

import { ClassState } from "../../src/dashboard/js/fold.js";
import { suggestionFor } from "../../src/dashboard/js/suggestions.js";

/** A class in which each student runs the cells that `cellsOf` names. */
function classOf(students, cellsOf, settings = {}) {
  const state = new ClassState();
  let id = 0;
  const fold = (studentId, members) =>
    state.fold({ id: (id += 1), studentId, receivedAt: "2026-04-01T09:00:00Z", ...members });
  fold("@class", { eventType: "settings_changed", settings });
  for (let student = 0; student < students; student += 1) {
    for (const [notebookPath, cellId, cellIndex] of cellsOf(student)) {
      fold(`s${student}`, { eventType: "cell_executed", notebookPath, cellId, cellIndex });
    }
  }
  return state;
}

const tenCells = (name) => (student) =>
  Array.from({ length: 10 }, (_, at) => ["a.ipynb", name(student, at), at]);

test("cells that each student alone has run are matched by position", () => {
  const own = tenCells((student, at) => `${student}-${at}`);
  assert.equal(suggestionFor(classOf(5, own)), "cells");
  assert.equal(suggestionFor(classOf(4, own)), null, "too few students");
  assert.equal(suggestionFor(classOf(5, own, { cellsBy: "position" })), null, "they are already");
  assert.equal(
    suggestionFor(
      classOf(
        5,
        tenCells((_, at) => `c${at}`),
      ),
    ),
    null,
    "ids are shared",
  );
  const few = (student) => own(student).slice(0, 1);
  assert.equal(suggestionFor(classOf(9, few)), null, "9 cells");
  assert.equal(suggestionFor(classOf(10, few)), "cells");
});

test("one file under several paths is matched by name", () => {
  const path = (student) => [[`home/${student}/a-Copy${student}.ipynb`, "c", 0]];
  assert.equal(suggestionFor(classOf(5, path)), "notebooks");
  assert.equal(suggestionFor(classOf(4, path)), null);
  assert.equal(suggestionFor(classOf(5, path, { notebooksBy: "name" })), null);
  const one = (student) => [
    ["x/a.ipynb", "c", 0],
    ["x/b.ipynb", `d${student}`, 0],
  ];
  assert.equal(suggestionFor(classOf(5, one)), null);
});
