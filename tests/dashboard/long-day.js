// A lesson that goes on for hours, faster than life: what a page that is open all day has folded.
// The test folds a short one; `make long-day` measures the whole day.

import { Clock } from "../../src/dashboard/js/clock.js";
import { Store } from "../../src/dashboard/js/store.js";
import { SECOND, formatTime } from "../../src/dashboard/js/time.js";

/** Events per second. */
export const RATE = 50;
const STUDENTS = 200;
const CELLS = 30;
const TEAMS = 8;
/** How often the page is drawn, in events: once a second. */
const DRAWN = RATE;
/** The kinds of mistakes that students make. Each text is another one. */
const MISTAKES = 400;
/** A generator of the same lesson each time, as Park and Miller describe it. */
const SEED = 20_261_127;
const MULTIPLIER = 48_271;
const MODULUS = 2 ** 31 - 1;

/** A page's store, and the events that reach it. */
export class LongDay {
  /** The database's clock, in microseconds. */
  now = Date.UTC(2026, 3, 1, 9) * 1000;
  store = new Store(new Clock(), () => {});
  #id = 0;
  #random = SEED;
  /** How often each student has run something. */
  #counts = Array(STUDENTS).fill(0);

  /** Folds so many further events, and takes the changes once a second, as the page does. */
  fold(events) {
    for (let folded = 0; folded < events; folded += DRAWN) {
      const frame = Array.from({ length: DRAWN }, () => this.#event());
      // As it comes: texts of a frame are parts of a longer one.
      this.store.fold(JSON.parse(JSON.stringify(frame)));
      this.store.tick();
      this.store.takeChanges();
    }
  }

  /** A number from 0 to below `bound`. */
  #below(bound) {
    this.#random = (this.#random * MULTIPLIER) % MODULUS;
    return Math.floor((this.#random / MODULUS) * bound);
  }

  #event() {
    this.#id += 1;
    this.now += SECOND / RATE;
    const at = formatTime(Math.round(this.now));
    const student = this.#below(STUDENTS);
    const common = {
      id: this.#id,
      eventId: `e${this.#id}`,
      studentId: `s${student}`,
      userName: `Student ${student}`,
      teamName: `Team ${student % TEAMS}`,
      receivedAt: at,
      eventTime: at,
      notebookPath: "lesson.ipynb",
    };
    const kind = this.#below(100);
    if (kind < 2) return { ...common, eventType: "help" };
    if (kind < 4) return { ...common, eventType: "help_stop" };
    if (kind < 6) return { ...common, eventType: "help_claimed", by: "Ito" };
    if (kind < 10) return { ...common, eventType: "notebook_saved" };
    const count = (this.#counts[student] += 1);
    const cell = this.#below(CELLS);
    const hasError = this.#below(4) === 0;
    return {
      ...common,
      eventType: "cell_executed",
      cellType: "code",
      cellId: `c${cell}`,
      cellIndex: cell,
      // A kernel is restarted now and then, and is another session.
      sessionId: `k${student}-${Math.floor(count / 500)}`,
      executionCount: count,
      code: `x = ${count}\n`.repeat(20),
      hasError,
      ...(hasError
        ? { errorMessage: `NameError: name 'x${this.#below(MISTAKES)}'\n${"trace\n".repeat(100)}` }
        : {}),
    };
  }
}
