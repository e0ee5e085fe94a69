import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Alerts, permission } from "../../src/dashboard/js/alerts.js";
import { fakePage, setGlobal, settled } from "./browser.js";

const NOW = 1_000_000_000;

let chosen;
let tones;
let shown;
let clock;
let alerts;
let clicked;

class FakeNode {
  gain = { setValueAtTime: () => {}, exponentialRampToValueAtTime: () => {} };
  connect = (other) => other;
  stop = () => {};
  start = () => {
    tones += 1;
  };
}

class FakeNotification {
  static permission = "granted";
  static requestPermission = mock.fn(async () => {
    FakeNotification.permission = "granted";
  });
  closed = false;

  constructor(title, options) {
    Object.assign(this, { title, ...options });
    shown.push(this);
  }

  close() {
    this.closed = true;
  }
}

beforeEach(() => {
  const document = fakePage();
  document.hasFocus = () => false;
  document.title = "(1) c";
  Object.assign(window, { isSecureContext: true, focus: () => {} });
  [tones, shown, clock] = [0, [], 100_000];
  mock.method(performance, "now", () => clock);
  setGlobal(
    "AudioContext",
    class {
      state = "running";
      currentTime = 0;
      resume = mock.fn();
    },
  );
  setGlobal("OscillatorNode", FakeNode);
  setGlobal("GainNode", FakeNode);
  setGlobal("Notification", FakeNotification);
  FakeNotification.permission = "granted";
  chosen = { handSound: false, handNotification: false };
  clicked = mock.fn();
  alerts = new Alerts({ get: (name) => chosen[name] }, clicked);
});

const hand = (name, age = 0) => ({ name, status: "help", student: { helpSince: NOW - age } });
const tell = (...rows) => alerts.tell(rows, NOW, (names) => names.join(", "));

test("nothing is heard or shown until it is turned on", () => {
  tell(hand("Ann"));
  assert.deepEqual([tones, shown.length], [0, 0]);
});

test("a sound is made once for many hands", () => {
  chosen.handSound = true;
  tell(hand("Ann"), hand("Bea"));
  assert.equal(tones, 2);
  clock += 2_999;
  tell(hand("Cora"));
  assert.equal(tones, 2);
  clock += 1;
  tell(hand("Dora"));
  assert.equal(tones, 4);
});

test("a browser that waits for a click does not play what is over", async () => {
  chosen.handSound = true;
  let plays;
  setGlobal(
    "AudioContext",
    class {
      state = "suspended";
      currentTime = 0;
      resume = () => new Promise((done) => (plays = done));
    },
  );
  tell(hand("Ann"));
  clock += 60_000;
  plays();
  await settled();
  assert.equal(tones, 0);
  // What goes up when it plays is heard.
  tell(hand("Bea"));
  clock += 100;
  plays();
  await settled();
  assert.equal(tones, 2);
});

test("a machine that plays nothing shows the hand all the same", () => {
  Object.assign(chosen, { handSound: true, handNotification: true });
  setGlobal("AudioContext", undefined);
  tell(hand("Ann"));
  assert.equal(shown.length, 1);
});

test("a notification names who asks, and leads to the page", () => {
  chosen.handNotification = true;
  tell(hand("Ann"), hand("Bea"));
  assert.equal(shown[0].body, "Ann, Bea");
  shown[0].onclick();
  assert.ok(shown[0].closed);
  assert.equal(clicked.mock.callCount(), 1);
});

test("who looks at the page is not notified", () => {
  chosen.handNotification = true;
  document.hasFocus = () => true;
  tell(hand("Ann"));
  assert.equal(shown.length, 0);
});

test("hands of the time when the page was away startle nobody", () => {
  Object.assign(chosen, { handSound: true, handNotification: true });
  tell(hand("Ann", 60_000_000), { ...hand("Bea"), status: "active" });
  assert.deepEqual([tones, shown.length], [0, 0]);
});

test("trying it out asks for the permission, sounds and shows", async () => {
  FakeNotification.permission = "default";
  await alerts.tryOut("like this");
  assert.equal(FakeNotification.requestPermission.mock.callCount(), 1);
  assert.deepEqual([tones, shown[0].body], [2, "like this"]);
});

test("without a secure connection there are no notifications", () => {
  chosen.handNotification = true;
  window.isSecureContext = false;
  assert.equal(permission(), "missing");
  tell(hand("Ann"));
  assert.equal(shown.length, 0);
});
