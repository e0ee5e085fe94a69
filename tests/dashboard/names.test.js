import assert from "node:assert/strict";
import { test } from "node:test";

import { speak } from "../../src/dashboard/js/i18n.js";
import { cellLabel, errorLine, notebookName, withoutAnsi } from "../../src/dashboard/js/names.js";

const t = speak("en");

test("a notebook is named without its folders and ending", () => {
  assert.equal(notebookName("lessons/week 1/a.b.ipynb", t), "a.b");
  assert.equal(notebookName("a.txt", t), "a.txt");
  assert.equal(notebookName(null, t), "no notebook");
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
