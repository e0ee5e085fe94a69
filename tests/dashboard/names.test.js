import assert from "node:assert/strict";
import { test } from "node:test";

import { speak } from "../../src/dashboard/js/i18n.js";
import {
  cellLabel,
  errorLine,
  notebookName,
  studentName,
  withoutAnsi,
} from "../../src/dashboard/js/names.js";

const t = speak("en");

test("a notebook is named without its folders and ending", () => {
  assert.equal(notebookName("lessons/week 1/a.b.ipynb", t), "a.b");
  assert.equal(notebookName("a.txt", t), "a.txt");
  assert.equal(notebookName(null, t), "no notebook");
  assert.equal(notebookName("a/.ipynb", t), "a/.ipynb");
  assert.equal(notebookName("a/", t), "a/");
});

test("a cell is named by its number in JupyterLab, or by the beginning of its id", () => {
  assert.equal(cellLabel({ cellId: "abc", cellIndex: 0 }, t), "Cell 1");
  assert.equal(cellLabel({ cellId: "123456789", cellIndex: null }, t), "123456789");
  assert.equal(cellLabel({ cellId: "1234567890", cellIndex: null }, t), "12345678…");
});

test("escape sequences are left out of what is read", () => {
  assert.equal(withoutAnsi("\x1b[1;31mred\x1b[0m \x1b]0;title\x07text\x1bM"), "red text");
  assert.equal(errorLine("\x1b[31m NameError \x1b[0m"), "NameError");
  assert.equal(errorLine(7), "");
});

test("a name that cannot be seen is no name", () => {
  for (const userName of [null, "", " ", "\u200b\u200d", "\u202e\u2069", "\u3000", "\u0301"]) {
    assert.equal(studentName({ userName, studentId: "s1" }), "s1", JSON.stringify(userName));
  }
  for (const userName of ["Ann", "山田", "مرحبا", "e\u0301", "7", "😀", "…"]) {
    assert.equal(studentName({ userName, studentId: "s1" }), userName);
  }
});
