import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Clock } from "../../src/dashboard/js/clock.js";
import { Focus } from "../../src/dashboard/js/focus.js";
import { outlineOf, progressOf, standing } from "../../src/dashboard/js/outline.js";
import { readSettings } from "../../src/dashboard/js/settings.js";
import { Store } from "../../src/dashboard/js/store.js";
import { MINUTE, formatTime } from "../../src/dashboard/js/time.js";
import { columnsOf, notebooks, rows } from "../../src/dashboard/js/views/grid-model.js";

const NOW = Date.UTC(2026, 3, 1, 9) * 1000;
let store;
let id;

beforeEach(() => {
  store = new Store(new Clock(), () => {});
  id = 0;
});

function run(studentId, cellId, { ago = 0, ...fields } = {}) {
  id += 1;
  const receivedAt = formatTime(NOW - ago * MINUTE);
  const place = { cellId, notebookPath: "a.ipynb" };
  store.fold([{ id, studentId, receivedAt, eventType: "cell_executed", ...place, ...fields }]);
}

const plan = (cells, more = {}) => {
  store.state.settings = readSettings({ outline: [{ notebook: "a.ipynb", cells }], ...more });
};
const cell = (id, index, fields) => ({ id, index, headings: [], ...fields });

test("an outline that is not usable is none", () => {
  for (const outline of [
    null,
    {},
    [null, 1],
    [{ cells: [] }],
    [{ notebook: "a", cells: [{}, 1] }],
  ]) {
    assert.equal(outlineOf(readSettings({ outline })).size, 0);
  }
});

test("columns are the outline's, in its order; added cells are folded away", () => {
  plan([cell("c9", 0), cell("c1", 2), cell("c5", 3)]);
  assert.deepEqual(notebooks(store), ["a.ipynb"]);
  run("s1", "c1");
  run("s1", "own");
  run("s2", "c9");
  const shown = (choice) => columnsOf(store, "a.ipynb", choice).columns.map((c) => c.cell.cellId);
  assert.deepEqual(shown(), ["c9", "c1", "c5"]);
  assert.equal(columnsOf(store, "a.ipynb").folded, 1);
  assert.deepEqual(shown({ isOpen: true }), ["c9", "c1", "c5", "own"]);
});

test("an outline without a folder is that of the notebook in any folder", () => {
  plan([cell("c9", 0), cell("c1", 2)]);
  run("s1", "c1", { notebookPath: "week 1/a.ipynb" });
  assert.deepEqual(notebooks(store), ["week 1/a.ipynb"]);
  const { columns } = columnsOf(store, "week 1/a.ipynb");
  assert.deepEqual(
    columns.map(({ done }) => done),
    [0, 1],
  );
});

test("a cell of the outline is found by its place where clients send no ids", () => {
  plan([cell("c9", 0), cell("c1", 2)]);
  run("s1", undefined, { cellIndex: 2 });
  const { columns } = columnsOf(store, "a.ipynb");
  assert.deepEqual(
    columns.map(({ done }) => done),
    [0, 1],
  );
  plan([cell("c9", 0), cell("c1", 2)], { cellsBy: "position" });
  assert.deepEqual(
    columnsOf(store, "a.ipynb").columns.map(({ done }) => done),
    [0, 1],
  );
});

test("progress counts exercises in which a student has succeeded at least once", () => {
  const exercises = [0, 1, 2, 3, 4].map((at) => cell(`c${at}`, at, { exercise: true }));
  plan([...exercises, cell("text", 9)]);
  for (const student of ["s1", "s2", "s3", "s4"]) run(student, "c0");
  for (const at of [1, 2, 3, 4]) run("s1", `c${at}`);
  run("s1", "c4", { hasError: true });
  run("s1", "text");
  for (const at of [1, 2]) for (const student of ["s2", "s3"]) run(student, `c${at}`);
  run("s4", "c1", { hasError: true });
  const { columns } = columnsOf(store, "a.ipynb");
  assert.deepEqual(
    columns.map(({ done }) => done),
    [4, 3, 3, 1, 1, 1],
  );
  const students = [...store.rows.values()].map(({ student }) => student);
  const progress = progressOf(students, columns);
  assert.deepEqual([progress.exercises, progress.median], [5, 3]);
  assert.deepEqual(
    students.map((student) => [progress.done.get(student), standing(progress, student)]),
    [
      [5, 1],
      [3, 0],
      [3, 0],
      [1, -1],
    ],
  );
});

test("a team and a span of time limit rows and columns", () => {
  run("s1", "c1", { teamName: "A", ago: 30 });
  run("s2", "c1", { teamName: "B", ago: 10 });
  run("s3", "c2", { ago: 1 });
  const shown = (choice) => {
    const focus = new Focus();
    focus.set(choice);
    const { columns } = columnsOf(store, "a.ipynb", { focus, now: NOW });
    const limits = { order: "name", find: "", status: null, columns, focus, now: NOW };
    const students = rows(store, limits).map(({ student }) => student.studentId);
    return `${students.join(" ")} | ${columns.map((c) => c.cell.cellId).join(" ")}`;
  };
  assert.equal(shown({}), "s1 s2 s3 | c1 c2");
  assert.equal(shown({ team: "A" }), "s1 | c1 c2");
  assert.equal(shown({ team: "" }), "s3 | c1 c2");
  assert.equal(shown({ minutes: 15 }), "s2 s3 | c1 c2");
  assert.equal(shown({ minutes: "5" }), "s3 | c2");
  assert.equal(shown({ team: "A", minutes: 60 }), "s1 | c1");
});

test("a choice that was written by something else is none", () => {
  const focus = new Focus();
  focus.set({ team: 1, minutes: "7" });
  assert.ok(focus.isWhole);
});
