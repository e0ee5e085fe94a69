import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Preferences } from "../../src/dashboard/js/preferences.js";
import { fakePage, setGlobal } from "./browser.js";

let stored;
let root;

beforeEach(() => {
  root = { dataset: {}, lang: "", toggleAttribute: () => {} };
  Object.assign(fakePage(), { documentElement: root });
  setGlobal("navigator", { language: "ja-JP", languages: ["fr", "ja-JP"] });
  setGlobal("localStorage", { getItem: () => stored, setItem: (_, text) => (stored = text) });
});

const made = (text) => {
  stored = text;
  return new Preferences(() => {});
};

test("what was chosen is there again", () => {
  made(null).set("theme", "dark");
  const again = made(stored);
  assert.deepEqual([again.get("theme"), again.get("language"), root.lang], ["dark", "ja", "ja"]);
  assert.equal(root.dataset.theme, "dark");
});

test("what another version or somebody else stored is left out", () => {
  const wrong = { language: "xx; !", theme: "purple", activityMinutes: 1e9, answerOrder: "zz" };
  const texts = [
    "null",
    "5",
    "[]",
    "{",
    '{"projector":"yes","limits":{"a":1}}',
    JSON.stringify(wrong),
  ];
  for (const text of texts) {
    const preferences = made(text);
    const names = ["language", "theme", "activityMinutes", "answerOrder", "projector", "limits"];
    const chosen = names.map((name) => preferences.get(name));
    assert.deepEqual(chosen, ["ja", "auto", 60, "number", false, []], text);
    assert.deepEqual(preferences.focusOf("c"), {});
  }
});

test("two tabs keep what the other one has stored", () => {
  const [one, other] = [made(null), new Preferences(() => {})];
  one.set("ownName", "Ito");
  other.set("theme", "dark");
  const next = new Preferences(() => {});
  assert.deepEqual([next.get("ownName"), next.get("theme")], ["Ito", "dark"]);
});

test("where nothing may be stored a choice holds for as long as the page is open", () => {
  const forbidden = () => {
    throw new DOMException("no", "SecurityError");
  };
  setGlobal("localStorage", { getItem: forbidden, setItem: forbidden });
  const preferences = new Preferences(() => {});
  preferences.set("projector", true);
  assert.equal(preferences.get("projector"), true);
});
