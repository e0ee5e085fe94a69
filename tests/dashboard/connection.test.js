// A page's connection, with a relay that the test plays.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { Connection } from "../../src/dashboard/js/connection.js";
import { fakePage, fakeTimers, setGlobal, settled } from "./browser.js";

class FakeSocket {
  static OPEN = 1;
  readyState = 0;
  sent = [];
  closed = false;

  constructor(url) {
    this.url = url;
    sockets.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
  }

  /** The relay accepts. */
  open() {
    this.readyState = FakeSocket.OPEN;
    this.onopen?.();
  }

  /** The relay sends a frame. */
  receive(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  /** The relay, or the network, ends it. */
  lose(code = 1006, reason = "") {
    this.onclose?.({ code, reason });
  }
}

class FakeStream {
  closed = false;

  constructor(url) {
    this.url = url;
    streams.push(this);
  }

  close() {
    this.closed = true;
  }

  receive(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

let sockets;
let streams;
/** The answer to "who am I". */
let me;
let requests;
/** Answers to requests, in order. */
let answers;
let timers;
let told;
let states;
let connection;

beforeEach(() => {
  fakePage();
  timers = fakeTimers();
  [sockets, streams, requests, answers, states] = [[], [], [], [], []];
  me = new TypeError("no relay");
  told = { summaries: [], events: [], times: [] };
  setGlobal("WebSocket", FakeSocket);
  setGlobal("EventSource", FakeStream);
  setGlobal("fetch", async (url) => {
    const isMe = String(url) === "api/me";
    if (!isMe) requests.push(String(url));
    const answer = isMe ? me : (answers.shift() ?? summary("k1"));
    if (answer instanceof Error) throw answer;
    return answer;
  });
  mock.method(Math, "random", () => 1);
});

afterEach(() => {
  connection.close();
  mock.restoreAll();
});

const summary = (cursor) => Response.json({ now: "", cursor, students: [] });

async function connect() {
  connection = new Connection("c", {
    summary: ({ cursor }) => told.summaries.push(cursor),
    events: (events) => {
      told.events.push(...events);
      return events.some(({ refold }) => refold);
    },
    now: (now) => told.times.push(now),
    state: (state) => states.push(state),
  });
  await settled();
}

async function connectLive() {
  await connect();
  sockets[0].open();
  sockets[0].receive({ type: "live", cursor: "k1" });
}

const cursorOf = (socket) => new URL(socket.url).searchParams.get("cursor");
const names = () => states.map((state) => state.name);
const current = () => connection.state;

test("a summary is loaded, then followed from its cursor", async () => {
  await connect();
  assert.deepEqual(requests, ["api/class/summary?class=c&include=grid%2Cactivity%2Csettings"]);
  assert.deepEqual(told.summaries, ["k1"]);
  assert.equal(String(sockets[0].url), "ws://relay.test/ws/connect?class=c&cursor=k1");
  assert.equal(current().name, "connecting");
  sockets[0].open();
  sockets[0].receive({ type: "progress", events: [{ id: 1 }, { id: 2 }], cursor: "k2" });
  sockets[0].receive({ type: "live", cursor: "k2" });
  assert.deepEqual(told.events, [{ id: 1 }, { id: 2 }]);
  assert.deepEqual([current().name, current().since, current().retryAt], ["live", null, null]);
});

test("a step of this machine's clock moves no attempt", async () => {
  const stepped = mock.method(Date, "now", () => 0);
  mock.method(performance, "now", () => 5_000);
  await connectLive();
  sockets[0].lose();
  assert.deepEqual([current().since, current().retryAt], [5_000, 5_300]);
  sockets[0].receive({ type: "reset" });
  assert.equal(stepped.mock.callCount(), 0);
});

test("the answer that was asked for early is taken, once", async () => {
  const url = "api/class/summary?class=c&include=grid%2Cactivity%2Csettings";
  const answer = summary("early");
  window.early = { url, answer: Promise.resolve(answer), body: answer.text() };
  await connectLive();
  assert.deepEqual([requests, told.summaries], [[], ["early"]]);
  sockets[0].receive({ type: "reset", reason: "pruned" });
  await settled();
  assert.deepEqual([requests, told.summaries], [[url], ["early", "k1"]]);
});

test("an answer that was asked for early and is none is asked for again", async () => {
  const url = "api/class/summary?class=c&include=grid%2Cactivity%2Csettings";
  const answer = Promise.reject(new TypeError("no relay"));
  window.early = { url, answer, body: answer };
  await connect();
  assert.equal(current().name, "offline");
  await timers.pass(20_000);
  assert.deepEqual([requests, told.summaries], [[url], ["k1"]]);
});

test("a lost connection is resumed from the last cursor, without a new summary", async () => {
  await connectLive();
  sockets[0].receive({ type: "progress", events: [{ id: 7 }], cursor: "k7" });
  sockets[0].lose();
  assert.equal(current().name, "offline");
  assert.notEqual(current().since, null);
  assert.deepEqual(timers.waits, [300]);
  await timers.pass(300);
  assert.equal(current().name, "catching");
  assert.equal(cursorOf(sockets[1]), "k7");
  assert.equal(requests.length, 1);
  sockets[1].open();
  sockets[1].receive({ type: "mark", cursor: "k8" });
  sockets[1].lose();
  await timers.pass(600);
  assert.equal(cursorOf(sockets[2]), "k8");
});

test("frames of a socket that was given up are not heard", async () => {
  await connectLive();
  const [old] = sockets;
  old.lose();
  old.receive({ type: "progress", events: [{ id: 1 }], cursor: "k9" });
  assert.deepEqual(told.events, []);
});

test("each attempt may wait twice as long, up to a bound, until the page is live", async () => {
  await connectLive();
  const waits = [];
  for (let attempt = 0; attempt < 8; attempt += 1) {
    sockets.at(-1).lose();
    waits.push(...timers.waits);
    await timers.pass(timers.waits[0]);
  }
  assert.deepEqual(waits, [300, 600, 1200, 2400, 4800, 9600, 15_000, 15_000]);
  sockets.at(-1).open();
  sockets.at(-1).receive({ type: "live", cursor: "k1" });
  sockets.at(-1).lose();
  assert.deepEqual(timers.waits, [300]);
});

test("a relay that drains is left at once, but only once", async () => {
  await connectLive();
  sockets[0].lose(1001, "draining");
  assert.deepEqual(timers.waits, [100]);
  await timers.pass(100);
  sockets[1].lose(1001, "draining");
  assert.deepEqual(timers.waits, [600]);
});

test("a reset loads a new summary", async () => {
  await connectLive();
  answers.push(summary("n1"));
  sockets[0].receive({ type: "reset" });
  assert.equal(current().name, "resynchronising");
  assert.notEqual(current().since, null);
  assert.ok(sockets[0].closed);
  await settled();
  assert.deepEqual(told.summaries, ["k1", "n1"]);
  assert.equal(cursorOf(sockets[1]), "n1");
});

test("settings that change load a new summary", async () => {
  await connectLive();
  answers.push(summary("n1"));
  sockets[0].receive({ type: "progress", events: [{ id: 7, refold: true }], cursor: "k7" });
  assert.equal(current().name, "resynchronising");
  assert.ok(sockets[0].closed);
  await settled();
  assert.deepEqual(told.summaries, ["k1", "n1"]);
  assert.equal(cursorOf(sockets[1]), "n1");
});

test("a summary that is needed again soon is waited for", async () => {
  let now = 100_000;
  mock.method(performance, "now", () => now);
  await connectLive();
  const lose = async () => {
    sockets.at(-1).open();
    sockets.at(-1).receive({ type: "reset" });
    await settled();
    const waits = sockets.at(-1).closed ? [...timers.waits] : [];
    now += waits[0] ?? 0;
    await timers.pass(waits[0] ?? 0);
    return waits;
  };
  assert.deepEqual(await lose(), []);
  assert.deepEqual(await lose(), [1_000]);
  assert.deepEqual(await lose(), [2_000]);
  assert.equal(told.summaries.length, 4);
  for (const wait of [4_000, 8_000, 15_000, 15_000]) assert.deepEqual(await lose(), [wait]);
  now += 30_000;
  assert.deepEqual(await lose(), []);
  assert.deepEqual(await lose(), [1_000]);
});

test("pages of a class that all need a new summary do not ask at the same moment", async () => {
  await connectLive();
  sockets[0].receive({ type: "reset" });
  await settled();
  mock.method(Math, "random", () => 0);
  sockets[1].receive({ type: "reset" });
  assert.deepEqual(timers.waits, [500]);
  await timers.pass(500);
  mock.method(Math, "random", () => 0.5);
  sockets[2].receive({ type: "reset" });
  assert.deepEqual(timers.waits, [1_500]);
  assert.equal(told.summaries.length, 3);
});

test("the time is heard from whatever frame tells it", async () => {
  await connect();
  sockets[0].receive({ type: "progress", events: [], cursor: "k2" });
  sockets[0].receive({ type: "live", cursor: "k2", now: "t1" });
  sockets[0].receive({ type: "mark", cursor: "k2", now: "t2" });
  sockets[0].receive({ type: "pong", cursor: "k2" });
  assert.deepEqual(told.times, ["t1", "t2"]);
});

test("a relay that does not serve the class is not asked again", async () => {
  await connectLive();
  sockets[0].lose(1008, "no such class");
  assert.deepEqual([current().name, current().reason], ["refused", "no such class"]);
  assert.deepEqual(timers.waits, []);
});

test("an answer of something else than the relay is not taken for a summary", async () => {
  for (const body of ["", "[]", "null", '{"status":"ok"}']) {
    answers.push(new Response(body, { headers: { "content-type": "application/json" } }));
    await connect();
    assert.equal(current().name, "offline", body);
    connection.close();
  }
});

test("a summary that is refused says why", async () => {
  answers.push(Response.json({ detail: "not from here" }, { status: 403 }));
  await connect();
  assert.deepEqual([current().name, current().reason], ["refused", "not from here"]);
  assert.equal(sockets.length, 0);
});

test("a summary that is not to be had now is asked for again", async () => {
  answers.push(Response.json({ detail: "database away" }, { status: 503 }));
  answers.push(new TypeError("no network"));
  await connect();
  assert.deepEqual([current().name, current().reason], ["offline", "database away"]);
  assert.equal(current().since, null);
  await timers.pass(300);
  assert.deepEqual([current().name, current().reason], ["offline", null]);
  await timers.pass(600);
  assert.equal(sockets.length, 1);
});

test("a silent connection is asked, and given up without an answer", async () => {
  await connectLive();
  await timers.pass(29_000);
  sockets[0].receive({ type: "mark", cursor: "k2" });
  await timers.pass(29_000);
  assert.deepEqual(sockets[0].sent, []);
  await timers.pass(1_000);
  assert.deepEqual(sockets[0].sent, [{ type: "ping" }]);
  sockets[0].receive({ type: "pong" });
  await timers.pass(8_000);
  assert.equal(current().name, "live");
  await timers.pass(30_000);
  assert.equal(current().name, "offline");
  assert.ok(sockets[0].closed);
});

test("a socket that never opens is given up", async () => {
  await connect();
  await timers.pass(10_000);
  assert.equal(current().name, "offline");
});

test("a page that is seen again asks whether the connection is still there", async () => {
  await connectLive();
  document.dispatchEvent(new Event("visibilitychange"));
  assert.deepEqual(sockets[0].sent, [{ type: "ping" }]);
});

test("a network that is back is tried at once", async () => {
  await connectLive();
  window.dispatchEvent(new Event("online"));
  assert.equal(sockets.length, 1);
  sockets[0].lose();
  window.dispatchEvent(new Event("online"));
  assert.equal(sockets.length, 2);
  assert.equal(names().at(-1), "catching");
});

test("a connection that was closed does nothing more", async () => {
  await connectLive();
  sockets[0].lose();
  connection.close();
  const known = states.length;
  await timers.pass(60_000);
  window.dispatchEvent(new Event("online"));
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(sockets.length, 1);
  assert.equal(states.length, known);
});

const problem = (status, name) =>
  Response.json({ type: `urn:progress-relay:problem:${name}`, detail: name }, { status });
const page = (status) =>
  new Response("<p>sign in", { status, headers: { "content-type": "text/html" } });

test("a signed-out page waits for a sign-in, and then goes on from its cursor", async () => {
  await connectLive();
  sockets[0].lose(1008, "expired: the credential has expired");
  assert.deepEqual([current().name, current().login], ["signedOut", "relay"]);
  assert.notEqual(current().since, null);
  me = problem(401, "unauthorized");
  await timers.pass(15_000);
  assert.equal(current().name, "signedOut");
  assert.equal(sockets.length, 1);
  me = Response.json({ subject: "ann" });
  await connection.lookForSignIn();
  assert.equal(cursorOf(sockets[1]), "k1");
  assert.equal(requests.length, 1);
});

test("answers that ask for a sign-in are told from a relay that is away", async () => {
  const redirect = Object.defineProperty(new Response(""), "type", { value: "opaqueredirect" });
  for (const [answer, login] of [
    [problem(401, "unauthorized"), "relay"],
    [page(200), "proxy"],
    [page(401), "proxy"],
    [page(403), "proxy"],
    [redirect, "proxy"],
  ]) {
    answers.push(answer);
    await connect();
    assert.deepEqual([current().name, current().login], ["signedOut", login]);
    connection.close();
  }
  answers.push(page(502));
  await connect();
  assert.deepEqual([current().name, current().login], ["offline", null]);
});

test("a class that is another's, and a service of sign-ins that is away", async () => {
  answers.push(problem(403, "class-not-allowed"));
  await connect();
  assert.equal(current().name, "forbidden");
  connection.close();
  answers.push(problem(503, "sign-in-unavailable"));
  await connect();
  assert.deepEqual([current().name, current().isSignInAway], ["offline", true]);
  await timers.pass(300);
  sockets[0].lose(1008, "class: not yours");
  assert.equal(current().name, "forbidden");
});

test("WebSockets that are blocked give way to the stream, until one comes through", async () => {
  me = Response.json(null);
  mock.method(globalThis, "fetch", async (url) =>
    String(url) === "api/me" ? Response.json(null) : summary("k1"),
  );
  await connect();
  sockets[0].lose();
  await settled();
  assert.equal(streams.length, 0);
  await timers.pass(300);
  sockets[1].lose();
  await settled();
  assert.equal(streams.length, 1);
  assert.equal(String(streams[0].url), "http://relay.test/api/class/stream?class=c&cursor=k1");
  streams[0].receive({ type: "progress", events: [{ id: 1 }], cursor: "k2" });
  streams[0].receive({ type: "live", cursor: "k2" });
  assert.deepEqual([current().name, current().isByStream], ["live", true]);
  // A mark comes before each silence is over.
  for (let passed = 0; passed < 300; passed += 20) {
    streams[0].receive({ type: "mark", cursor: "k3" });
    await timers.pass(20_000);
  }
  assert.equal(sockets.length, 3);
  sockets[2].receive({ type: "mark", cursor: "k3" });
  assert.ok(streams[0].closed && sockets[2].closed);
  assert.equal(cursorOf(sockets[3]), "k3");
  sockets[3].receive({ type: "live", cursor: "k3" });
  assert.deepEqual([current().name, current().isByStream], ["live", false]);
});

test("a relay that is away is no reason to take the stream", async () => {
  await connect();
  for (let attempt = 0; attempt < 5; attempt += 1) {
    sockets.at(-1).lose();
    await settled();
    await timers.pass(15_000);
  }
  assert.equal(streams.length, 0);
  me = problem(401, "unauthorized");
  sockets.at(-1).lose();
  await settled();
  assert.equal(current().name, "signedOut");
});
