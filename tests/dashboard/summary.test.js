import assert from "node:assert/strict";
import { test } from "node:test";

import { cellName } from "../../src/dashboard/js/cell.js";
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
  const at = parseTime(AT);
  const latest = { executionCount: null, session: null, time: at };
  assert.deepEqual(runs, { runs: 2, failedRuns: 1, failed: true, at, ...latest });
  assert.equal(state.cells.get(cellName(null, "c1"))?.students.size, 1);
});

test("a run of the grid has what its repeats are known by", () => {
  const cell = { cellId: "c1", runs: 1, failedRuns: 0, failingStudents: 0, topErrors: [] };
  const early = "2026-04-01T08:00:00.000000Z";
  const state = restoreState({
    students: [student("s1"), student("s2")],
    cells: [cell],
    grid: [
      { studentId: "s1", sessions: ["k1"], runs: [[0, 1, 0, false, early, 7, 0, AT]] },
      { studentId: "s2", sessions: [], runs: [[0, 1, 0, false, AT, 7, null, null]] },
    ],
  });
  const latest = (studentId) => {
    const runs = state.students.get(studentId)?.cells.get(cellName(null, "c1"));
    return [runs?.executionCount, runs?.session, runs?.time];
  };
  assert.deepEqual(latest("s1"), [7, "k1", parseTime(AT)]);
  assert.deepEqual(latest("s2"), [7, null, parseTime(AT)]);
});

test("a lesson begins when it does for the relay, also after a summary", () => {
  const event = { id: 9, studentId: "s1", receivedAt: "2026-04-01T16:00:00.000000Z" };
  const begins = (lastReceivedAt) => {
    const lesson = { id: "5", startedAt: AT, lastReceivedAt };
    return restoreState({ lesson, students: [student("s1")] }).fold(event)?.began;
  };
  assert.equal(begins(AT), true);
  // Somebody's hand was resolved at noon, which no student's time shows.
  assert.equal(begins("2026-04-01T12:00:00.000000Z"), false);
});

test("those who are not here are known, and come back by name", () => {
  const absent = [
    { studentId: "s1", userName: "Ann", teamName: "red", lastReceivedAt: AT },
    { studentId: "s2", userName: "Bea" },
  ];
  const settings = { roster: [{ id: "s1" }, { id: "s2", name: "Bea" }] };
  const lesson = { id: "5", startedAt: AT, lastReceivedAt: AT };
  const state = restoreState({ lesson, settings, students: [], absent });
  assert.deepEqual(renderSummary(state, parseTime(AT)).absent, absent);
  state.fold({ id: 9, studentId: "s2", receivedAt: AT, userName: "b" });
  const { students, metrics } = renderSummary(state, parseTime(AT));
  assert.deepEqual([students[0].userName, students[0].onRoster, metrics.absent], ["Bea", true, 1]);
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
