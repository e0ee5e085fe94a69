// As much of a browser as the modules without a DOM need. A test puts into it what it looks at.

import { mock } from "node:test";

/**
 * Sets a global for the rest of the test file. Newer versions of Node have some of them, and those
 * cannot be assigned.
 */
export function setGlobal(name, value) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

/** A page at http://relay.test/, seen by someone. */
export function fakePage() {
  const document = Object.assign(new EventTarget(), {
    baseURI: "http://relay.test/",
    hidden: false,
    visibilityState: "visible",
  });
  setGlobal("document", document);
  setGlobal("window", new EventTarget());
  return document;
}

/** Lets everything run that only waits for promises. */
export const settled = () => new Promise((done) => setImmediate(done));

/** Timeouts pass when the test says so. */
export function fakeTimers() {
  const timers = [];
  let now = 0;
  mock.method(globalThis, "setTimeout", (run, wait = 0) => {
    const timer = { run, at: now + wait };
    timers.push(timer);
    return timer;
  });
  mock.method(globalThis, "clearTimeout", (timer) => {
    const at = timers.indexOf(timer);
    if (at >= 0) timers.splice(at, 1);
  });
  return {
    get waits() {
      return timers.map((timer) => timer.at - now);
    },
    /** Lets time pass, in milliseconds. */
    async pass(wait) {
      const end = now + wait;
      for (;;) {
        timers.sort((a, b) => a.at - b.at);
        if (timers.length === 0 || timers[0].at > end) break;
        const [timer] = timers.splice(0, 1);
        now = timer.at;
        timer.run();
        await settled();
      }
      now = end;
    },
  };
}
