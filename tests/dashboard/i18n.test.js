import assert from "node:assert/strict";
import { test } from "node:test";

import { browserLanguage, languages, speak } from "../../src/dashboard/js/i18n.js";
import { en } from "../../src/dashboard/js/strings/en.js";
import { ja } from "../../src/dashboard/js/strings/ja.js";
import { MINUTE, SECOND } from "../../src/dashboard/js/time.js";
import { setGlobal } from "./browser.js";

/** Each text's path and type; of a function also how many values it takes. */
function shape(texts, path = "") {
  return Object.entries(texts).flatMap(([name, text]) => {
    if (typeof text === "object") return shape(text, `${path}${name}.`);
    return `${path}${name}: ${typeof text} ${typeof text === "function" ? text.length : ""}`;
  });
}

test("each text is there in both languages", () => assert.deepEqual(shape(ja), shape(en)));

test("no text is empty", () => {
  for (const texts of [en, ja]) {
    for (const text of Object.values(texts.connection)) {
      if (typeof text === "string") assert.notEqual(text, "");
    }
  }
});

test("the browser's first language that the page speaks is taken", () => {
  for (const [wanted, code] of [
    [["ja-JP", "en"], "ja"],
    [["fr", "en-GB", "ja"], "en"],
    [["fr"], "en"],
    [["toString"], "en"],
  ]) {
    setGlobal("navigator", { languages: wanted, language: wanted[0] });
    assert.equal(browserLanguage(), code, String(wanted));
  }
});

test("spans are written in one or two units", () => {
  const t = speak("en");
  for (const [micros, text] of [
    [-SECOND, "0 s"],
    [59.9 * SECOND, "59 s"],
    [MINUTE, "1 min"],
    [61 * MINUTE, "1 h 01 min"],
    [48 * 60 * MINUTE, "2 d"],
  ]) {
    assert.equal(t.span(micros), text);
  }
  assert.equal(t.age(4 * SECOND), "just now");
  assert.equal(t.age(5 * SECOND), "5 s ago");
});

test("a wait is written to the second", () => {
  const t = speak("ja");
  assert.equal(t.wait(-1), "0:00");
  assert.equal(t.wait(187 * SECOND), "3:07");
  assert.equal(t.wait(3787 * SECOND), "1:03:07");
});

test("each language has its own name, numbers and plurals", () => {
  assert.deepEqual(languages, [
    ["en", "English"],
    ["ja", "日本語"],
  ]);
  assert.equal(speak("en").students(1), "1 student");
  assert.equal(speak("en").students(1234), "1,234 students");
  assert.equal(speak("ja").students(1234), "1,234人");
});
