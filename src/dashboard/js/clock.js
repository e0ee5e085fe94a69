// The database's clock. Every age on the page is counted by it, since the times of events are.

import { parseTime } from "./time.js";

export class Clock {
  /** Microseconds to add to this machine's clock. */
  #offset = 0;
  /**
   * The end of an earlier lesson, which is looked at as it was then; `null`: time passes.
   *
   * @type {number | null}
   */
  #held = null;

  /** The database's time now, in microseconds. */
  now() {
    return this.#held ?? Date.now() * 1000 + this.#offset;
  }

  /**
   * Stops the clock at a moment, or lets it go on.
   *
   * @param {number | null} moment
   */
  hold(moment) {
    this.#held = moment;
  }

  /**
   * Takes the database's time from an answer of the relay. The time was read between the question
   * and the answer: the middle of both is the best guess.
   *
   * @param {string} text the database's time
   * @param {number} asked when the relay was asked, by `Date.now()`
   */
  set(text, asked) {
    const time = parseTime(text);
    if (time !== null) this.#offset = time - ((asked + Date.now()) / 2) * 1000;
  }

  /**
   * Notes that the database received something at `micros`: it cannot be earlier now.
   *
   * @param {number} micros
   */
  atLeast(micros) {
    const behind = micros - this.now();
    if (behind > 0) this.#offset += behind;
  }
}
