import assert from "node:assert/strict";
import { test } from "node:test";

import { utcOffset } from "../../src/dashboard/js/views/overview-downloads.js";

test("the offset of a zone is written as the export reads it", () => {
  for (const [minutes, text] of [
    [0, "+00:00"],
    [-540, "+09:00"],
    [210, "-03:30"],
    [-345, "+05:45"],
    [60, "-01:00"],
  ]) {
    const now = { getTimezoneOffset: () => minutes };
    assert.equal(utcOffset(/** @type {Date} */ (now)), text);
  }
});
