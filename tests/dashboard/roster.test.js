import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeText } from "../../src/dashboard/js/bytes.js";
import { MAX_FILE, readRosterFile, readRosterText } from "../../src/dashboard/js/roster.js";

const utf8 = (text) => new TextEncoder().encode(text);
const utf16 = (text, { mark = true, big = false } = {}) => {
  const units = [...(mark ? [0xfeff] : []), ...Array.from(text, (_, at) => text.charCodeAt(at))];
  return Uint8Array.from(
    units.flatMap((unit) => (big ? [unit >> 8, unit & 255] : [unit & 255, unit >> 8])),
  );
};
const faults = (text) => readRosterText(text).errors.map(({ fault, line }) => [fault, line]);
const ann = { id: "ann@example.com", name: "Ann", team: "A" };

test("columns are found by their names, in any order, by any delimiter", () => {
  for (const text of [
    "id,name,team\nann@example.com,Ann,A\n",
    "Team;Student-ID;Full Name\r\nA;Ann@Example.com ;Ann\r\n",
    '\ufeff"name"\t"E-mail"\t"group"\r"Ann"\t"ann@example.com"\t"A"\r',
    "氏名,学籍番号,班\nAnn,ann@example.com,A",
    "ann@example.com,Ann,A",
    "\n\nann@example.com, Ann ,A,more\n\n",
  ]) {
    const { entries, errors } = readRosterText(text);
    assert.deepEqual([entries, errors], [[ann], []], JSON.stringify(text));
  }
  assert.equal(readRosterText("id\na\nb").hasHeader, true);
  assert.deepEqual(readRosterText("email,id\nx@y,7").entries, [{ id: "7" }]);
});

test("a quoted field may hold anything, and lines are counted through it", () => {
  const text = 'id,name\na,"Ann ""A"", of\nhere"\nb,"Bob" jr\na,again\n';
  const { entries, errors } = readRosterText(text);
  assert.deepEqual(entries, [
    { id: "a", name: 'Ann "A", of\nhere' },
    { id: "b", name: "Bob jr" },
  ]);
  assert.deepEqual(errors, [{ fault: "twice", line: 5, other: 2 }]);
});

test("every encoding that spreadsheets write is read", () => {
  const text = "学籍番号,氏名\na1,山田 太郎\n";
  const shiftJis = Uint8Array.from([
    0x8a, 0x77, 0x90, 0xd0, 0x94, 0xd4, 0x8d, 0x86, 0x2c, 0x8e, 0x81, 0x96, 0xbc, 0x0a, 0x61, 0x31,
    0x2c, 0x8e, 0x52, 0x93, 0x63, 0x20, 0x91, 0xbe, 0x98, 0x59, 0x0a,
  ]);
  for (const bytes of [
    utf8(text),
    utf8(`\ufeff${text}`),
    utf16(text),
    utf16(text, { big: true }),
    shiftJis,
  ]) {
    assert.deepEqual(readRosterFile(bytes).entries, [{ id: "a1", name: "山田 太郎" }]);
  }
  assert.equal(decodeText(utf16("id,name\na,b\n", { mark: false })), "id,name\na,b\n");
  assert.equal(decodeText(utf16("id,name\na,b\n", { mark: false, big: true })), "id,name\na,b\n");
  assert.equal(decodeText(Uint8Array.from([0x61, 0xff, 0xfd])), null);
});

test("what is wrong is told by line", () => {
  assert.deepEqual(faults(""), [["empty", null]]);
  assert.deepEqual(faults("id,name\n\n"), [["empty", null]]);
  assert.deepEqual(faults("name,team\nAnn,A"), [["noId", 1]]);
  assert.deepEqual(faults('id\na\n"b\nc'), [["quote", 3]]);
  assert.deepEqual(faults("id,name\n,Ann\na,Bob\n"), [["missingId", 2]]);
  assert.deepEqual(faults(`id\n${"x".repeat(201)}\n${"あ".repeat(66)}`), [["longId", 2]]);
  assert.deepEqual(faults("id\na\u0007b"), [["badText", 2]]);
  assert.deepEqual(faults(`id,name\na,${"x".repeat(1025)}`), [["longText", 2]]);
  assert.deepEqual(faults("id\nA@x.org\n a@X.org"), [["twice", 3]]);
  assert.deepEqual(faults("id\na\u0301\n\u00e1"), [["twice", 3]]);
});

test("large and hostile files are bounded", () => {
  const rows = (count) =>
    Array.from({ length: count }, (_, at) => `s${at},n,t${at % 7}`).join("\n");
  const full = readRosterText(`id,name,team\n${rows(10_000)}`);
  assert.deepEqual(
    [full.entries.length, full.named, full.teams, full.errors],
    [10_000, 10_000, 7, []],
  );
  assert.deepEqual(faults(`id,name,team\n${rows(10_001)}`), [["tooMany", null]]);
  assert.deepEqual(faults(rows(10_001)), [["tooMany", null]]);
  assert.equal(readRosterFile(new Uint8Array(MAX_FILE + 1)).errors[0].fault, "size");
  const twice = readRosterText(`id\n${"a\n".repeat(5_000)}`);
  assert.deepEqual([twice.errors.length, twice.moreErrors], [20, 4_979]);
  const noise = Uint8Array.from({ length: 200_000 }, (_, at) => (at * 7919) % 251);
  for (const bytes of [noise, utf8(",".repeat(1_000_000)), utf8('"'.repeat(999_999))]) {
    assert.deepEqual(readRosterFile(bytes).entries.length <= 10_000, true);
  }
  assert.deepEqual(readRosterText("id,name\n__proto__,constructor").entries, [
    { id: "__proto__", name: "constructor" },
  ]);
});

test("files that are dropped by mistake are no rosters", () => {
  const wrong = {
    pdf: "%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
    rtf: "{\\rtf1 a}",
    notebook: '{ "cells": [] }',
    page: "\ufeff\n<!doctype html>\n<p>x",
    picture: "\0\u0001PNG,x",
    program: "id\n" + "a\u0001b".repeat(8),
  };
  for (const [name, text] of Object.entries(wrong)) {
    assert.deepEqual(faults(text), [["notText", null]], name);
  }
});

test("the line by which Excel names the delimiter is none of the table", () => {
  const { entries, errors } = readRosterText("sep=;\r\nid;name\r\ns1;Ann, A\r\n;Bob\r\n");
  assert.deepEqual(entries, [{ id: "s1", name: "Ann, A" }]);
  assert.deepEqual(errors, [{ fault: "missingId", line: 4, other: undefined }]);
});
