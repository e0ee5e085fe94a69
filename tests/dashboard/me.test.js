import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Me, leave, signInAddress } from "../../src/dashboard/js/me.js";
import { fakePage, setGlobal, settled } from "./browser.js";

const gone = [];

beforeEach(() => {
  fakePage();
  window.top = window;
  gone.length = 0;
  const location = { pathname: "/base/", search: "?class=c", hash: "#help", href: "/base/#help" };
  setGlobal("location", { ...location, assign: (url) => gone.push(url) });
  setGlobal("BroadcastChannel", FakeChannel);
  FakeChannel.told = [];
});

class FakeChannel {
  static told = [];
  postMessage = (news) => FakeChannel.told.push(news);
}

const answer = (status, more = {}) => ({
  ok: status === 200,
  status,
  type: "basic",
  headers: new Headers({ "content-type": "application/json" }),
  text: async () => '{"subject":"ann","role":"instructor","classes":["c"]}',
  ...more,
});

test("where a browser forbids the channel of the tabs, the page goes on", async () => {
  setGlobal(
    "BroadcastChannel",
    class {
      constructor() {
        throw new DOMException("no", "SecurityError");
      }
    },
  );
  setGlobal("fetch", async () => answer(200));
  const me = new Me(
    () => {},
    () => {},
  );
  await me.ask();
  assert.equal(me.caller.subject, "ann");
});

test("who could not sign out is told so, and stays", async () => {
  const me = new Me(
    () => {},
    () => {},
  );
  const away = async () => {
    throw new TypeError("Failed to fetch");
  };
  for (const fetch of [away, async () => answer(503), async () => answer(403)]) {
    setGlobal("fetch", fetch);
    assert.equal(await me.signOut(), false);
    assert.deepEqual([gone, FakeChannel.told], [[], []]);
  }
  setGlobal("fetch", async () => answer(0, { type: "opaqueredirect" }));
  assert.equal(await me.signOut(), true);
  assert.deepEqual([gone, FakeChannel.told], [["sign-in"], ["signed-out"]]);
});

test("in a frame the page is loaded again, also at an address with a place in it", async () => {
  leave();
  window.top = {};
  leave();
  assert.deepEqual(gone, [signInAddress(location), "/base/?class=c"]);
  await settled();
  mock.reset();
});
