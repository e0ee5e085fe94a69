import assert from "node:assert/strict";
import { test } from "node:test";

import { compareTexts } from "../../src/dashboard/js/fields.js";
import { normalize } from "../../src/dashboard/js/normalize.js";
import { readSettings } from "../../src/dashboard/js/settings.js";
import { parseTime } from "../../src/dashboard/js/time.js";

const RECEIVED = "2026-04-01T09:00:00.000000Z";

const event = (fields, settings = {}) =>
  normalize({ id: 1, studentId: "s1", receivedAt: RECEIVED, ...fields }, readSettings(settings));

test("a field that is unusable is absent", () => {
  const { userName, cellIndex, executionCount, eventType, kind, failed, message } = event({
    userName: "",
    cellIndex: 1.5,
    executionCount: "3",
    eventType: 7,
    hasError: "yes",
    errorMessage: "NameError",
  });
  assert.deepEqual([userName, cellIndex, executionCount, eventType], [null, null, null, null]);
  assert.deepEqual([kind, failed, message], ["other", false, null]);
});

test("minus zero is zero", () => assert.ok(Object.is(event({ cellIndex: -0 }).cellIndex, 0)));

test("a text of more than 1,024 bytes is absent", () => {
  assert.equal(event({ userName: "あ".repeat(341) }).userName?.length, 341);
  assert.equal(event({ userName: "あ".repeat(342) }).userName, null);
  assert.equal(event({ userName: "x".repeat(1024) }).userName?.length, 1024);
  assert.equal(event({ userName: "x".repeat(1025) }).userName, null);
});

test("what UTF-8 or PostgreSQL cannot hold is replaced", () => {
  assert.equal(event({ userName: "a\ud800b\udc00" }).userName, "a\ufffdb\ufffd");
  assert.equal(event({ userName: "😀\0" }).userName, "😀\ufffd");
});

test("a client's clock that is ahead is not believed", () => {
  const received = parseTime(RECEIVED);
  const ahead = event({ eventTime: "2026-04-01T10:00:00Z" });
  assert.deepEqual([ahead.moment, ahead.time > received], [received, true]);
  const behind = event({ eventTime: "2026-04-01T08:00:00Z" });
  assert.equal(behind.moment, parseTime("2026-04-01T08:00:00Z"));
  assert.equal(event({ eventTime: "soon" }).time, received);
});

test("an error is counted by the beginning of its first line", () => {
  const failure = (errorMessage) =>
    event({ eventType: "cell_executed", hasError: true, errorMessage }).message;
  assert.equal(failure("\r\n\nNameError: x\nmore"), "NameError: x");
  assert.equal(failure("x".repeat(300)), "x".repeat(200));
  assert.equal(failure("😀".repeat(300)), "😀".repeat(200));
  assert.equal(failure("\n"), null);
  assert.equal(failure(["NameError"]), null);
});

test("texts are compared by code point", () => {
  const texts = ["", "a", "ab", "b", "\uffff", "😀"];
  const shuffled = ["😀", "b", "\uffff", "", "ab", "a"];
  assert.deepEqual(shuffled.sort(compareTexts), texts);
  assert.equal(compareTexts("a", "a"), 0);
});
