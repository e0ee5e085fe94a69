import assert from "node:assert/strict";
import { test } from "node:test";

import { cellName } from "../../src/dashboard/js/fold.js";
import { renderSummary, restoreState } from "../../src/dashboard/js/summary.js";
import { parseTime } from "../../src/dashboard/js/time.js";

const AT = "2026-04-01T09:00:00.000000Z";

const student = (studentId) => ({
  studentId,
  lastReceivedAt: AT,
  lastEventTime: AT,
  cellsExecuted: 1,
  errorCount: 0,
  consecutiveErrors: 0,
});

test("a summary without its optional parts is a state without cells", () => {
  const state = restoreState({ students: [student("s1")] });
  assert.equal(state.students.size, 1);
  assert.equal(state.cells.size, 0);
  assert.equal(state.students.get("s1")?.lastReceivedAt, parseTime(AT));
});

test("a run of the grid belongs to its student and its cell", () => {
  const cell = { cellId: "c1", runs: 2, failedRuns: 1, failingStudents: 1, topErrors: [] };
  const state = restoreState({
    students: [student("s1")],
    cells: [cell],
    grid: [
      { studentId: "s1", runs: [[0, 2, 1, true, AT]] },
      { studentId: "unknown", runs: [[0, 1, 0, false, AT]] },
    ],
  });
  const runs = state.students.get("s1")?.cells.get(cellName(null, "c1"));
  assert.deepEqual(runs, { runs: 2, failedRuns: 1, failed: true, at: parseTime(AT) });
  assert.equal(state.cells.get(cellName(null, "c1"))?.students.size, 1);
});

test("a member that the page does not know is not taken", () => {
  const state = restoreState({ students: [{ ...student("s1"), cells: 7, added: "later" }] });
  const restored = state.students.get("s1");
  assert.equal(restored?.cells.size, 0);
  assert.equal("added" in restored, false);
});

test("the metrics count each student once", () => {
  const state = restoreState({ students: [student("s1"), student("s2")] });
  const { metrics } = renderSummary(state, parseTime(AT));
  const { students, active, idle, cellsExecuted } = metrics;
  assert.deepEqual(
    { students, active, idle, cellsExecuted },
    {
      students: 2,
      active: 2,
      idle: 0,
      cellsExecuted: 2,
    },
  );
});
