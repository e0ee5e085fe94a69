import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Answers, MAX_ANSWERS, pictureOf } from "../../src/dashboard/js/answers.js";
import { normalize } from "../../src/dashboard/js/normalize.js";
import { readSettings } from "../../src/dashboard/js/settings.js";

const settings = readSettings({});
let answers;
let id;

beforeEach(() => {
  answers = new Answers();
  id = 0;
});

function run(studentId, code, { error, second = 0, ...fields } = {}) {
  id += 1;
  const receivedAt = `2026-04-01T09:00:${String(second).padStart(2, "0")}.000000Z`;
  const delivered = { id, studentId, receivedAt, eventType: "cell_executed", code, ...fields };
  if (error) Object.assign(delivered, { hasError: true, errorMessage: error });
  answers.add(delivered, normalize(delivered, settings));
}

const shown = (order = "number", wanted) =>
  answers
    .groups(order, wanted)
    .map(({ failed, message, size, variants }) =>
      failed ? `${message}: ${size} of ${variants.length}` : `${variants[0].code}: ${size}`,
    );

test("failures come first, grouped by message; successes by code without trailing blanks", () => {
  run("s1", "x = 1");
  run("s2", "x = 1  \n\n");
  run("s3", "x=1");
  run("s4", "y", { error: "NameError: y (ipykernel_12/3521570167.py, line 1)" });
  run("s5", "y + 1", { error: "NameError: y (ipykernel_99/1234567890.py, line 1)" });
  run("s6", "z", { error: "\u001b[31mTypeError\u001b[0m: z" });
  assert.deepEqual(shown(), [
    "NameError: y (ipykernel_12/3521570167.py, line 1): 2 of 2",
    "TypeError: z: 1 of 1",
    "x = 1: 2",
    "x=1: 1",
  ]);
  assert.deepEqual([answers.size, answers.failures], [6, 3]);
});

test("of a student the latest run counts, however late it arrives", () => {
  run("s1", "second", { second: 2 });
  run("s1", "first", { second: 1, error: "E" });
  assert.deepEqual(shown(), ["second: 1"]);
  run("s1", "third", { second: 3 });
  assert.deepEqual(shown(), ["third: 1"]);
});

test("groups are sorted by number, time or length, and limited to students", () => {
  run("s1", "long code", { second: 3 });
  run("s2", "b", { second: 1 });
  run("s3", "cc", { second: 2 });
  run("s4", "cc", { second: 2 });
  assert.deepEqual(shown("number"), ["cc: 2", "b: 1", "long code: 1"]);
  assert.deepEqual(shown("time"), ["long code: 1", "cc: 2", "b: 1"]);
  assert.deepEqual(shown("length"), ["b: 1", "cc: 2", "long code: 1"]);
  assert.deepEqual(
    shown("number", (student) => student === "s3"),
    ["cc: 1"],
  );
});

test("a class that is too large, and long texts, are cut", () => {
  for (let student = 0; student <= MAX_ANSWERS; student += 1) run(`s${student}`, "x");
  assert.deepEqual([answers.size, answers.isFull], [MAX_ANSWERS, true]);
  run("s0", "y".repeat(10_000));
  const [longest] = answers.groups("number").slice(-1);
  assert.equal(longest.variants[0].code.length, 4_000);
  assert.equal(longest.variants[0].answers[0].isCut, true);
});

test("pictures are PNG or JPEG in base64, and nothing else", () => {
  const of = (data) => pictureOf([{ output_type: "display_data", data }]);
  assert.equal(of({ "image/png": "iVBO\nRw0=" }), "data:image/png;base64,iVBORw0=");
  assert.equal(of({ "image/jpeg": "/9j/" }), "data:image/jpeg;base64,/9j/");
  assert.equal(of({ "image/svg+xml": "<svg/>" }), null);
  assert.equal(of({ "image/png": '"><script>' }), null);
  assert.equal(of({ "image/png": "A".repeat(300_000) }), null);
  assert.equal(pictureOf("iVBORw0="), null);
});

test("blanks at the ends of lines make no other code, and many of them cost little", () => {
  run("a", "x = 1  \n\ty\t\r\n\n");
  run("b", "x = 1\n\ty");
  assert.deepEqual(shown(), ["x = 1\n\ty: 2"]);
  const begun = performance.now();
  run("c", `${" ".repeat(200_000)}x`);
  // A pattern that looks at the run once for each blank takes half a minute.
  assert.ok(performance.now() - begun < 2_000);
});
