// What every student last ran in one cell: equal answers are one group, so that a class of two
// hundred can be read. Nothing here knows the page or the network.

import { errorLine } from "./names.js";
import { messageKey } from "./matching.js";

/**
 * @import { DeliveredEvent, NormalizedEvent } from "./normalize.js"
 */

/** The most students whose answers are kept. */
export const MAX_ANSWERS = 1_000;
/** The most characters that are kept of a code, and of what it printed. */
const MAX_CODE = 4_000;
const MAX_OUTPUT = 2_000;
/** The most bytes of a picture, as base64, and the most pictures of a cell. */
const MAX_PICTURE = 256 * 1024;
const MAX_PICTURES = 100;
/** How deep, and among how many values, a picture is looked for in a result. */
const MAX_DEPTH = 4;
const MAX_VALUES = 50;

const PICTURES = ["image/png", "image/jpeg"];
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * A student's latest run of the cell.
 *
 * @typedef {object} Answer
 * @property {string} studentId
 * @property {number} id the event's
 * @property {number} moment
 * @property {boolean} failed
 * @property {string} code
 * @property {string} error the first line of the error
 * @property {string} output
 * @property {string | null} picture a `data:` URL
 * @property {boolean} isCut whether some text is not whole
 */

/**
 * Equal code.
 *
 * @typedef {{ code: string, answers: Answer[] }} Variant
 */

/**
 * Answers that are one: failures of one message, or successes of one code.
 *
 * @typedef {object} Group
 * @property {string} key
 * @property {boolean} failed
 * @property {string} message
 * @property {number} size
 * @property {Variant[]} variants the most common first
 * @property {number} moment the latest answer's
 */

/** @typedef {"number" | "time" | "length"} AnswerOrder */

/** @type {AnswerOrder[]} */
export const answerOrders = ["number", "time", "length"];

export class Answers {
  /**
   * By student id.
   *
   * @type {Map<string, Answer>}
   */
  #answers = new Map();
  #pictures = 0;
  /** Whether there are more students than are kept. */
  isFull = false;

  get size() {
    return this.#answers.size;
  }

  get failures() {
    let count = 0;
    for (const { failed } of this.#answers.values()) if (failed) count += 1;
    return count;
  }

  /**
   * Takes a run, if it is the student's latest one so far.
   *
   * @param {DeliveredEvent} delivered
   * @param {NormalizedEvent} event the same
   */
  add(delivered, { id, student, moment, failed, message }) {
    const known = this.#answers.get(student);
    if (known !== undefined && (known.moment - moment || known.id - id) >= 0) return;
    if (known === undefined && this.#answers.size >= MAX_ANSWERS) {
      this.isFull = true;
      return;
    }
    if (known?.picture) this.#pictures -= 1;
    const code = withoutTrailingBlanks(plain(delivered.code));
    const output = plain(delivered.result);
    const picture = this.#pictures < MAX_PICTURES ? pictureOf(delivered.result) : null;
    if (picture !== null) this.#pictures += 1;
    this.#answers.set(student, {
      studentId: student,
      id,
      moment,
      failed,
      code: code.slice(0, MAX_CODE),
      error: failed ? errorLine(message) : "",
      output: output.slice(0, MAX_OUTPUT),
      picture,
      isCut: code.length > MAX_CODE || output.length > MAX_OUTPUT || isTruncated(delivered),
    });
  }

  /**
   * The groups, failures first.
   *
   * @param {AnswerOrder} order
   * @param {(studentId: string) => boolean} [wanted]
   */
  groups(order, wanted = () => true) {
    /** @typedef {Group & { byCode: Map<string, Variant> }} Counted */
    /** @type {Map<string, Counted>} */
    const groups = new Map();
    for (const answer of this.#answers.values()) {
      if (!wanted(answer.studentId)) continue;
      const { failed, error, code, moment } = answer;
      const key = failed ? `failed ${messageKey(error)}` : `ok ${code}`;
      /** @type {Counted} */
      const group = groups.get(key) ?? {
        key,
        failed,
        message: error,
        size: 0,
        variants: [],
        moment,
        byCode: new Map(),
      };
      let variant = group.byCode.get(code);
      if (variant === undefined) {
        variant = { code, answers: [] };
        group.byCode.set(code, variant);
        group.variants.push(variant);
      }
      variant.answers.push(answer);
      group.size += 1;
      group.moment = Math.max(group.moment, moment);
      groups.set(key, group);
    }
    for (const { variants } of groups.values()) {
      variants.sort((a, b) => b.answers.length - a.answers.length);
    }
    /** @type {Group[]} */
    const all = [...groups.values()];
    return all.sort((a, b) => Number(b.failed) - Number(a.failed) || ORDERS[order](a, b));
  }
}

/** @type {Record<AnswerOrder, (a: Group, b: Group) => number>} */
const ORDERS = {
  number: (a, b) => b.size - a.size || a.moment - b.moment,
  time: (a, b) => b.moment - a.moment,
  length: (a, b) => a.variants[0].code.length - b.variants[0].code.length || b.size - a.size,
};

/**
 * Line by line: a pattern would look at a long run of blanks once for each of them.
 *
 * @param {string} code
 */
function withoutTrailingBlanks(code) {
  const lines = code.split("\n").map((line) => line.trimEnd());
  return lines.join("\n").trimEnd();
}

/**
 * A text as a client wrote it. Of a result that is an object the picture is shown, not its bytes.
 *
 * @param {unknown} value
 */
function plain(value) {
  if (typeof value === "string") return value;
  if (value === undefined || value === null || pictureOf(value) !== null) return "";
  return JSON.stringify(value, null, 2);
}

/** @param {DeliveredEvent} delivered */
function isTruncated({ truncated }) {
  return Array.isArray(truncated) && truncated.some((name) => name === "code" || name === "result");
}

/**
 * The first picture of a result, as Jupyter writes it: base64, under its type. SVG is markup, and
 * is not shown.
 *
 * @param {unknown} value
 * @param {number} [depth]
 * @returns {string | null} a `data:` URL
 */
export function pictureOf(value, depth = 0) {
  if (typeof value !== "object" || value === null || depth > MAX_DEPTH) return null;
  const values = /** @type {Record<string, unknown>} */ (value);
  for (const type of PICTURES) {
    const written = values[type];
    const data = typeof written === "string" ? written.replace(/\s/g, "") : "";
    if (data.length > 0 && data.length <= MAX_PICTURE && BASE64.test(data)) {
      return `data:${type};base64,${data}`;
    }
  }
  for (const inner of Object.values(values).slice(0, MAX_VALUES)) {
    const found = pictureOf(inner, depth + 1);
    if (found !== null) return found;
  }
  return null;
}
