import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Clock } from "../../src/dashboard/js/clock.js";
import { Store } from "../../src/dashboard/js/store.js";
import {
  columns,
  columnsOf,
  notebooks,
  outcome,
  rows,
} from "../../src/dashboard/js/views/grid-model.js";

const AT = new Date().toISOString();
let store;
let id;

beforeEach(() => {
  store = new Store(new Clock(), () => {});
  id = 0;
});

function run(studentId, cellIndex, fields = {}) {
  id += 1;
  const place = { cellId: `c${cellIndex}`, cellIndex, notebookPath: "a.ipynb" };
  const event = { id, studentId, receivedAt: AT, eventType: "cell_executed", ...place, ...fields };
  store.fold([event]);
}

const shown = (choice = {}) =>
  rows(store, {
    order: "name",
    find: "",
    status: null,
    columns: columns(store, "a.ipynb"),
    ...choice,
  })
    .map(({ student }) => student.studentId)
    .join(" ");

test("the notebook with the most students comes first", () => {
  run("s1", 1, { notebookPath: "a.ipynb" });
  run("s2", 1, { notebookPath: "b.ipynb" });
  run("s3", 1, { notebookPath: "b.ipynb" });
  assert.deepEqual(notebooks(store), ["b.ipynb", "a.ipynb"]);
});

test("a cell that hardly any student ran is folded away, and counted", () => {
  for (let student = 0; student < 41; student += 1) run(`s${student}`, 1);
  run("s1", 2);
  run("s2", 3);
  run("s3", 3);
  run("s4", 3);
  assert.deepEqual(
    columns(store, "a.ipynb").map(({ cell }) => cell.cellIndex),
    [1, 3],
  );
  const { columns: all, folded } = columnsOf(store, "a.ipynb", { isOpen: true });
  assert.deepEqual(
    all.map(({ cell }) => cell.cellIndex),
    [1, 2, 3],
  );
  assert.equal(folded, 1);
});

test("students are ordered by name, team, progress or need", () => {
  run("s10", 1, { teamName: "B" });
  run("s2", 2, { teamName: "A" });
  run("s1", 1);
  run("s1", 2, { hasError: true });
  assert.equal(shown(), "s1 s2 s10");
  assert.equal(shown({ order: "team" }), "s2 s10 s1");
  assert.equal(shown({ order: "progress" }), "s10 s2 s1");
  assert.equal(shown({ order: "attention" }), "s1 s2 s10");
});

test("students are found by name, id or team, and by status", () => {
  run("s1", 1, { userName: "Émile", teamName: "Red" });
  run("s2", 1, { hasError: true });
  assert.equal(shown({ find: " ém" }), "s1");
  assert.equal(shown({ find: "RED" }), "s1");
  assert.equal(shown({ find: "s" }), "s1 s2");
  assert.equal(shown({ status: "error" }), "s2");
});

test("a cell whose latest run succeeded after a failure is mended", () => {
  assert.equal(outcome(undefined), "none");
  assert.equal(outcome({ runs: 1, failedRuns: 0, failed: false, at: 0 }), "ok");
  assert.equal(outcome({ runs: 2, failedRuns: 1, failed: false, at: 0 }), "mended");
  assert.equal(outcome({ runs: 2, failedRuns: 1, failed: true, at: 0 }), "failed");
});
