import assert from "node:assert/strict";
import { test } from "node:test";

import {
  formatTime,
  parseClientTime,
  parseReceived,
  parseTime,
} from "../../src/dashboard/js/time.js";

const NINE = Date.UTC(2026, 3, 1, 9) * 1000;

test("a time is read to the microsecond, with any offset", () => {
  for (const [text, micros] of [
    ["2026-04-01T09:00:00Z", NINE],
    ["2026-04-01t09:00:00z", NINE],
    ["2026-04-01T18:00:00+09:00", NINE],
    ["2026-04-01T08:30:00-00:30", NINE],
    ["2026-04-01T09:00:00.5Z", NINE + 500_000],
    ["2026-04-01T09:00:00.000001Z", NINE + 1],
    ["2026-04-01T09:00:00.0000019Z", NINE + 1],
    ["2024-02-29T00:00:00Z", Date.UTC(2024, 1, 29) * 1000],
  ]) {
    assert.equal(parseTime(text), micros, text);
  }
});

test("anything else is no time", () => {
  for (const text of [
    "",
    "yesterday",
    "2026-04-01",
    "2026-04-01T09:00:00",
    "2026-04-01 09:00:00Z",
    "2026-02-29T09:00:00Z",
    "2026-13-01T09:00:00Z",
    "2026-04-01T24:00:00Z",
    "2026-04-01T09:00:60Z",
    "2026-04-01T09:00:00+24:00",
    "0099-12-31T23:59:59-23:59",
    "0000-02-29T00:00:00Z",
    " 2026-04-01T09:00:00Z",
    null,
    undefined,
    0,
    {},
  ]) {
    assert.equal(parseTime(text), null, String(text));
  }
});

test("a client's clock may show the years 2000 to 2100", () => {
  assert.equal(parseClientTime("1999-12-31T23:59:59.999999Z"), null);
  assert.notEqual(parseClientTime("2000-01-01T00:00:00Z"), null);
  assert.notEqual(parseClientTime("2100-12-31T23:59:59Z"), null);
  assert.equal(parseClientTime("2101-01-01T00:00:00Z"), null);
  assert.equal(parseClientTime("soon"), null);
});

test("the database's clock may show the years 1900 to 2199", () => {
  for (const [text, moved] of [
    ["0001-01-01T00:00:00.000000Z", "1900-01-01T00:00:00.000000Z"],
    ["1899-12-31T23:59:59.999999Z", "1900-01-01T00:00:00.000000Z"],
    ["2199-12-31T23:59:59.999999Z", "2199-12-31T23:59:59.999999Z"],
    ["9999-12-31T23:59:59.999999Z", "2199-12-31T23:59:59.999999Z"],
  ]) {
    assert.equal(formatTime(parseReceived(text)), moved);
  }
  assert.equal(parseReceived("2026-04-01T09:00:00Z"), NINE);
});

test("a moment is written as the relay does", () => {
  assert.equal(formatTime(NINE), "2026-04-01T09:00:00.000000Z");
  assert.equal(formatTime(NINE + 1), "2026-04-01T09:00:00.000001Z");
  assert.equal(formatTime(NINE - 1), "2026-04-01T08:59:59.999999Z");
  for (const micros of [NINE, NINE + 123_456, 0]) {
    assert.equal(parseTime(formatTime(micros)), micros);
  }
});
