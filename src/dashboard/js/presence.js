// Which instructors look at what. Each page tells what it shows, by an event of the class; the
// others count it as true until it says otherwise or is not heard of any more.

import { text } from "./fields.js";
import { MINUTE, parseTime } from "./time.js";

/** @import { DeliveredEvent } from "./normalize.js" */

/** What was told so long ago does not hold any more. */
const LAPSE = 6 * MINUTE;
/** How often a page that is seen tells it again, in milliseconds. */
const PACE = 5 * 60_000;
/** What is shown for a shorter time is not told. */
const DEBOUNCE = 2_000;
/** A newcomer is answered, but no more often than this. */
const ANSWER_SPAN = 10_000;
/** The most instructors that are told apart. */
const MAX_INSTRUCTORS = 100;

/** @typedef {{ name: string, student: string | null, at: number }} Instructor */

/**
 * @typedef {object} Surroundings
 * @property {() => string} name of this instructor; `""` if nobody knows it
 * @property {() => number} now by the database's clock
 * @property {() => boolean} hasBegun whether the class has had an event: a class whose name was
 *   mistyped must not come into being because somebody looks at it
 * @property {(looksAt: { by: string, student?: string }) => Promise<unknown>} send
 * @property {() => void} changed is called when the others have changed
 */

export class Presence {
  #around;
  /**
   * By name.
   *
   * @type {Map<string, Instructor>}
   */
  #others = new Map();
  /** Whether the class's events are followed. */
  #isOn = false;
  /** @type {string | null} */
  #student = null;
  /** What was told last, as text. */
  #told = "";
  #toldAt = -Infinity;
  /** Whether it is told as soon as the class has begun. */
  #isWaiting = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Surroundings} around */
  constructor(around) {
    this.#around = around;
  }

  /** Another class is shown. */
  clear() {
    clearTimeout(this.#timer);
    this.#isOn = false;
    this.#isWaiting = false;
    this.#others.clear();
    this.#told = "";
    this.#toldAt = -Infinity;
    this.#around.changed();
  }

  /**
   * The class is followed now.
   *
   * @param {string | null} student the one who is looked at
   */
  begin(student) {
    this.#isOn = true;
    this.#toldAt = performance.now();
    this.look(student);
  }

  /**
   * Another student is looked at; `null`: the class.
   *
   * @param {string | null} student
   */
  look(student) {
    this.#student = student;
    this.tell();
  }

  /** Tells in a moment what is shown, if that is not known. */
  tell() {
    this.#tellIn(DEBOUNCE);
  }

  /** @param {number} wait in milliseconds */
  #tellIn(wait) {
    clearTimeout(this.#timer);
    if (this.#isOn) this.#timer = setTimeout(() => this.#send(), wait);
  }

  async #send() {
    const by = this.#around.name();
    const { isSeen } = this;
    const looksAt = { by, ...(this.#student !== null && { student: this.#student }) };
    const isDue = performance.now() - this.#toldAt >= PACE;
    const told = JSON.stringify(looksAt);
    if (by === "" || !isSeen || (told === this.#told && !isDue)) return;
    this.#isWaiting = !this.#around.hasBegun();
    if (this.#isWaiting) return;
    this.#told = told;
    this.#toldAt = performance.now();
    try {
      await this.#around.send(looksAt);
    } catch {
      // It is told again in its time: nobody waits for it.
    }
  }

  get isSeen() {
    return document.visibilityState === "visible";
  }

  /** Is called once a second. */
  tick() {
    const oldest = this.#around.now() - LAPSE;
    for (const [name, { at }] of this.#others) {
      if (at > oldest) continue;
      this.#others.delete(name);
      this.#around.changed();
    }
    const isDue = performance.now() - this.#toldAt >= PACE;
    const canTell = this.#isWaiting && this.#around.hasBegun();
    if (this.#isOn && this.isSeen && (isDue || canTell)) this.#send();
  }

  /**
   * Takes an event of the class.
   *
   * @param {DeliveredEvent} event
   */
  hear({ eventType, actor, student, receivedAt }) {
    if (eventType !== "instructor_viewing") return;
    const name = text(actor);
    const at = parseTime(receivedAt);
    if (name === null || at === null || at <= this.#around.now() - LAPSE) return;
    if (name === this.#around.name()) return;
    const isNew = !this.#others.has(name);
    if (isNew && this.#others.size >= MAX_INSTRUCTORS) return;
    this.#others.set(name, { name, student: text(student), at });
    this.#around.changed();
    // Somebody who has just come knows nobody yet.
    if (!isNew) return;
    // It is told soon in any case: each newcomer would put it off.
    if (this.#told === "") return;
    this.#told = "";
    this.#tellIn(Math.max(DEBOUNCE, this.#toldAt + ANSWER_SPAN - performance.now()));
  }

  /**
   * The other instructors who look at the class, by name.
   *
   * @returns {Instructor[]}
   */
  others() {
    const own = this.#around.name();
    const others = [...this.#others.values()].filter(({ name }) => name !== own);
    return others.sort((a, b) => a.name.localeCompare(b.name));
  }

  /**
   * The names of those who look at a student.
   *
   * @param {string} studentId
   */
  viewersOf(studentId) {
    return this.others().flatMap(({ name, student }) => (student === studentId ? name : []));
  }
}
