// The database's clock, by which every age is counted, reckoned from what the relay last said of it.

import { parseTime } from "./time.js";

export class Clock {
  /** Microseconds to add to this machine's clock. */
  #offset = 0;

  /** Now by the database's clock. */
  now() {
    return Date.now() * 1000 + this.#offset;
  }

  /** The relay said that it was `text`, in an answer that was asked for at `asked` (`Date.now()`). */
  set(text, asked) {
    const said = parseTime(text);
    if (said !== null) this.#offset = said - ((asked + Date.now()) / 2) * 1000;
  }

  /** Something was received at `micros` by that clock: it cannot be earlier now. */
  atLeast(micros) {
    const behind = micros - this.now();
    if (behind > 0) this.#offset += behind;
  }
}
