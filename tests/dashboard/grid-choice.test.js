import assert from "node:assert/strict";
import { test } from "node:test";

import { newGridChoice, notebookToShow } from "../../src/dashboard/js/views/grid-choice.js";

const counts = (...entries) => new Map(entries);

test("the notebook with the most students is shown, and stays while it is not left", () => {
  const { notebook: none } = newGridChoice();
  assert.equal(notebookToShow(counts(), none, undefined), undefined);
  assert.equal(notebookToShow(counts(["a", 1]), none, undefined), "a");
  // The first to come had opened yesterday's; most of the class opens today's.
  assert.equal(notebookToShow(counts(["b", 2], ["a", 1]), none, "a"), "a");
  assert.equal(notebookToShow(counts(["b", 3], ["a", 1]), none, "a"), "b");
  assert.equal(notebookToShow(counts(["a", 20], ["b", 12]), none, "b"), "b");
  // A lesson began, in which nobody is anywhere yet.
  assert.equal(notebookToShow(counts(["b", 0], ["a", 0]), none, "a"), "a");
});

test("the one that was chosen is shown for as long as it is there", () => {
  assert.equal(notebookToShow(counts(["b", 30], ["a", 1]), "a", "b"), "a");
  assert.equal(notebookToShow(counts(["b", 30], [null, 1]), null, "b"), null);
  assert.equal(notebookToShow(counts(["b", 30]), "a", "b"), "b");
});
