import assert from "node:assert/strict";
import { test } from "node:test";

import { LruMap } from "../../src/dashboard/js/lru-map.js";

const none = () => assert.fail("nothing should be evicted");

test("the entry that was touched longest ago is evicted", () => {
  const map = new LruMap(2);
  const evicted = [];
  map.touch("a", () => "A", none);
  map.touch("b", () => "B", none);
  map.touch("a", none, none);
  map.touch(
    "c",
    () => "C",
    (value) => evicted.push(value),
  );
  assert.deepEqual(evicted, ["B"]);
  assert.deepEqual([...map.entries()], Object.entries({ a: "A", c: "C" }));
  assert.equal(map.size, 2);
  assert.ok(map.has("a") && !map.has("b"));
});

test("reading does not touch", () => {
  const map = new LruMap(1);
  map.touch("a", () => "A", none);
  assert.equal(map.get("a"), "A");
  const evicted = [];
  map.touch(
    "b",
    () => "B",
    (value) => evicted.push(value),
  );
  assert.deepEqual(evicted, ["A"]);
});

test("a deleted entry leaves room", () => {
  const map = new LruMap(1);
  map.touch("a", () => "A", none);
  assert.equal(map.delete("a"), "A");
  assert.equal(map.delete("a"), undefined);
  map.touch("b", () => "B", none);
  assert.deepEqual([...map.values()], ["B"]);
});
