// The requests that the page makes.

/**
 * @import { DeliveredEvent } from "./normalize.js"
 * @import { Summary } from "./summary.js"
 */

/** The relay gave no answer, or one whose status is not 2xx. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 without an answer
   * @param {string} detail
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }

  /** Whether the same request may succeed later. */
  get isTransient() {
    return this.status === 0 || this.status >= 500 || this.status === 408 || this.status === 429;
  }
}

/** How long an answer is waited for, in milliseconds. */
const PATIENCE = 15_000;

/**
 * @param {string} path
 * @param {{ [name: string]: string | number | undefined }} parameters of the query; `undefined` is
 *   left out
 * @param {{ method?: string, signal?: AbortSignal }} [options]
 */
async function request(path, parameters, { method = "GET", signal } = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) query.set(name, String(value));
  }
  const signals = [AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])];
  let status = 0;
  try {
    const response = await fetch(`${path}?${query}`, { method, signal: AbortSignal.any(signals) });
    status = response.ok ? 0 : response.status;
    const body = await response.text();
    const answer = body === "" ? {} : JSON.parse(body);
    if (response.ok) return answer;
    throw new ApiError(status, answer.detail ?? answer.title ?? response.statusText);
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error;
    // There was no connection, it was cut, or something between here and the relay answered.
    throw new ApiError(status, error instanceof Error ? error.message : String(error));
  }
}

/**
 * A segment of a path. No URL keeps "." and "..", however they are written; the relay trims a
 * segment, so a blank keeps them apart from those two.
 *
 * @param {string} text
 */
function segment(text) {
  const encoded = encodeURIComponent(text);
  return encoded === "." || encoded === ".." ? `%20${encoded}` : encoded;
}

/**
 * @typedef {{ classId: string, students: number }} ListedClass
 * @typedef {{ field: string, reason: string, count: number, firstAt: string, lastAt: string }}
 *   Rejection
 * @typedef {{ now: string, refused: Rejection[] }} Rejections
 * @typedef {{ before?: number, limit: number, signal?: AbortSignal }} EventsOptions
 */

export const api = {
  /**
   * @param {string} classId
   * @param {AbortSignal} signal
   * @returns {Promise<Summary>}
   */
  summary: (classId, signal) =>
    request("api/class/summary", { class: classId, include: "grid,activity" }, { signal }),

  /**
   * @param {string} classId
   * @returns {Promise<Rejections>}
   */
  rejections: (classId) => request("api/class/refused", { class: classId }),

  /** @returns {Promise<{ classes: ListedClass[] }>} */
  classes: () => request("api/classes", {}),

  /**
   * A student's events, the newest first.
   *
   * @param {string} classId
   * @param {string} student
   * @param {EventsOptions} options
   * @returns {Promise<{ events: DeliveredEvent[], next?: number }>}
   */
  events: (classId, student, { before, limit, signal }) =>
    request("api/class/events", { class: classId, student, before, limit }, { signal }),

  /**
   * Lowers a student's hand.
   *
   * @param {string} classId
   * @param {string} student
   */
  resolve: (classId, student) => {
    const path = `api/class/students/${segment(student)}/help/resolve`;
    return request(path, { class: classId }, { method: "POST" });
  },
};
