// The database's clock. Every age on the page is counted by it, since the times of events are.
//
// Between two words from the relay it goes on by the browser's clock that only counts
// (`performance.now`). This machine's time of day is not asked: somebody who sets it, or a time
// server that does, would hide a raised hand, or raise one of yesterday. The counting clock stands
// still while some machines sleep. So each `live` and each mark of the relay tells the time again.

import { parseTime } from "./time.js";

/** How many of the times that the relay told last are looked at: those of some minutes. */
const MAX_HEARD = 8;

/** What the counting clock shows, in microseconds. */
function counted() {
  return Math.round(performance.now() * 1000);
}

export class Clock {
  /**
   * Microseconds to add to the counting clock, by each of the times that were heard last. A time is
   * old when it is heard, by as long as it was on its way. So the greatest is the best guess.
   */
  #heard = [Math.round(performance.timeOrigin * 1000)];
  /**
   * The end of an earlier lesson, which is looked at as it was then; `null`: time passes.
   *
   * @type {number | null}
   */
  #held = null;

  /** The database's time now, in microseconds. */
  now() {
    return this.#held ?? counted() + Math.max(...this.#heard);
  }

  /**
   * The database's time when the counting clock showed `shown`, also while this clock is held.
   *
   * @param {number} shown by `performance.now()`
   */
  timeAt(shown) {
    return Math.round(shown * 1000) + Math.max(...this.#heard);
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
   * @param {number} asked when the relay was asked, by `performance.now()`
   */
  set(text, asked) {
    const time = parseTime(text);
    if (time === null) return;
    this.#heard = [time - Math.round(((asked + performance.now()) / 2) * 1000)];
  }

  /**
   * Hears the database's time from the relay, which told it unasked. A clock that is behind follows
   * at once; one that is ahead, once the last few times that were heard say so.
   *
   * @param {string} text the database's time
   */
  hear(text) {
    const time = parseTime(text);
    if (time === null) return;
    this.#heard.push(time - counted());
    if (this.#heard.length > MAX_HEARD) this.#heard.shift();
  }

  /**
   * Notes that the database received something at `micros`: it cannot be earlier now.
   *
   * @param {number} micros
   */
  atLeast(micros) {
    const newest = this.#heard.length - 1;
    this.#heard[newest] = Math.max(this.#heard[newest], micros - counted());
  }
}
