// The events of a class that the relay rejected. They are no events of the class, so no frame
// brings them: the page asks for them.

import { api } from "./api.js";

/** @import { Rejections as Answer } from "./api.js" */

/** The least time between two questions, in milliseconds. */
const PACE = 60_000;

export class Rejections {
  /**
   * The relay's latest answer.
   *
   * @type {Answer | null}
   */
  answer = null;
  /** @type {string | null} */
  #classId = null;
  #askAt = 0;
  #changed;

  /** @param {() => void} changed is called after each answer */
  constructor(changed) {
    this.#changed = changed;
  }

  /**
   * Asks about a class, unless the page is hidden or has just asked.
   *
   * @param {string} classId
   */
  async ask(classId) {
    if (classId !== this.#classId) {
      this.answer = null;
      this.#classId = classId;
      this.#askAt = 0;
    }
    if (document.hidden || performance.now() < this.#askAt) return;
    this.#askAt = performance.now() + PACE;
    try {
      const answer = await api.rejections(classId);
      // Another class may have been chosen meanwhile.
      if (classId !== this.#classId) return;
      this.answer = answer;
      this.#changed();
    } catch {
      // The last answer stays; the next question follows in a minute.
    }
  }
}
