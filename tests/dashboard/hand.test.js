import assert from "node:assert/strict";
import { test } from "node:test";

import { claimOf } from "../../src/dashboard/js/hand.js";
import { newStudent } from "../../src/dashboard/js/student.js";
import { MINUTE } from "../../src/dashboard/js/time.js";

test("a claim is believed for ten minutes", () => {
  const student = newStudent("s1", 0);
  assert.equal(claimOf(student, 0), null);
  Object.assign(student, { helpClaimedBy: "Ito", helpClaimedAt: 0 });
  assert.deepEqual(claimOf(student, 10 * MINUTE - 1), { by: "Ito", at: 0 });
  assert.equal(claimOf(student, 10 * MINUTE), null);
});
