// The requests that the page makes.

/**
 * @import { DeliveredEvent } from "./normalize.js"
 * @import { Summary } from "./summary.js"
 */

/**
 * Where to sign in: at the relay, or at a proxy before it, which asks once the page is
 * loaded again.
 *
 * @typedef {"relay" | "proxy"} Login
 */

/** The relay gave no answer, or one that is not what was asked for. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 without an answer
   * @param {string} detail
   * @param {{ problem?: string, login?: Login }} [more] the problem's name; where to sign in, if
   *   nobody is signed in
   */
  constructor(status, detail, { problem, login } = {}) {
    super(detail);
    this.status = status;
    this.problem = problem ?? null;
    this.login = login ?? null;
  }

  /** Whether the same request may succeed later. */
  get isTransient() {
    return this.status === 0 || this.status >= 500 || this.status === 408 || this.status === 429;
  }
}

/** How long an answer is waited for, in milliseconds. */
const PATIENCE = 15_000;

/** The beginning of a problem's type. */
const PROBLEM = "urn:progress-relay:problem:";

/**
 * @param {string} path
 * @param {{ [name: string]: string | number | undefined }} parameters of the query; `undefined` is
 *   left out
 * @param {{ method?: string, content?: object, version?: string, signal?: AbortSignal }} [options]
 *   `version`: of what is to be replaced
 */
async function request(path, parameters, { method = "GET", content, version, signal } = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) query.set(name, String(value));
  }
  const signals = [AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])];
  const url = String(query) === "" ? path : `${path}?${query}`;
  let status = 0;
  try {
    // The relay redirects no request of this page: who does is a proxy that wants a sign-in.
    const init = {
      method,
      ...(content && {
        headers: {
          "content-type": "application/json",
          ...(version !== undefined && { "if-match": `"${version}"` }),
        },
        body: JSON.stringify(content),
      }),
      signal: AbortSignal.any(signals),
      redirect: /** @type {const} */ ("manual"),
    };
    const early = earlyAnswer(url);
    const response = await (early?.answer ?? fetch(url, init));
    status = response.ok ? 0 : response.status;
    const login = loginOf(response);
    const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
    const body = login === "proxy" ? "" : await (early?.body ?? response.text());
    const answer = body === "" || (!isJson && !response.ok) ? {} : JSON.parse(body);
    if (response.ok && login === null) return answer;
    const detail = answer.detail ?? answer.title ?? response.statusText;
    const problem = String(answer.type ?? "").replace(PROBLEM, "");
    throw new ApiError(response.status, detail, { problem, login: login ?? undefined });
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error;
    // There was no connection, it was cut, or something between here and the relay answered.
    throw new ApiError(status, error instanceof Error ? error.message : String(error));
  }
}

/** @typedef {{ url: string, answer: Promise<Response>, body: Promise<string> }} Early */

/**
 * The answer for which early.js has asked before this script was there. It is taken once.
 *
 * @param {string} url
 */
function earlyAnswer(url) {
  const holder = /** @type {{ early?: Early | null }} */ (/** @type {unknown} */ (window));
  const { early } = holder;
  if (early?.url !== url) return null;
  holder.early = null;
  return early;
}

/**
 * Where to sign in, if the answer says that nobody is. Proxies answer with a redirect to their
 * sign-in page, or with that page itself, under whatever status.
 *
 * @param {Response} response
 * @returns {Login | null}
 */
function loginOf(response) {
  const isHtml = (response.headers.get("content-type") ?? "").startsWith("text/html");
  if (response.type === "opaqueredirect") return "proxy";
  if (isHtml && (response.ok || response.status === 401 || response.status === 403)) return "proxy";
  return response.status === 401 ? "relay" : null;
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
 * @typedef {{ before?: number, limit: number, notebook?: string, lesson?: string,
 *   signal?: AbortSignal }} EventsOptions
 * @typedef {{ settings: { [member: string]: unknown }, version: string }} StoredSettings
 * @typedef {{ id: string, startedAt: string, endedAt?: string, students: number, runs: number,
 *   title?: string, current?: true }} ListedLesson
 */

/**
 * Who is signed in.
 *
 * @typedef {{
 *   subject: string, name?: string, role: string, classes: string[], expiresAt?: string
 * }}
 *   Caller
 */

export const api = {
  /**
   * `null` at a relay where nobody signs in.
   *
   * @param {AbortSignal} [signal]
   * @returns {Promise<Caller | null>}
   */
  me: (signal) => request("api/me", {}, { signal }),

  /**
   * A link that signs another browser in, once.
   *
   * @returns {Promise<{ path: string, validForSeconds: number }>}
   */
  link: () => request("sign-in/link", {}, { method: "POST" }),

  /** Ends this browser's session. The answer leads to the sign-in page. */
  signOut: () => fetch("sign-out", { method: "POST", redirect: "manual" }),

  /**
   * @param {string} classId
   * @param {string | null} lesson an earlier one
   * @param {AbortSignal} signal
   * @returns {Promise<Summary>}
   */
  summary: async (classId, lesson, signal) => {
    const include = "grid,activity,settings";
    const parameters = { class: classId, include, lesson: lesson ?? undefined };
    const answer = await request("api/class/summary", parameters, { signal });
    if (Array.isArray(answer?.students)) return answer;
    // Something between here and the relay answered, and may do so for a moment only.
    throw new ApiError(0, "the answer is no summary");
  },

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
  events: (classId, student, { before, limit, notebook, lesson, signal }) => {
    const parameters = { class: classId, student, notebook, before, limit, lesson };
    return request("api/class/events", parameters, { signal });
  },

  /**
   * @param {string} classId
   * @returns {Promise<StoredSettings>}
   */
  settings: (classId) => request("api/class/settings", { class: classId }),

  /**
   * Replaces the settings, unless they are not those of the version any more.
   *
   * @param {string} classId
   * @param {StoredSettings} stored
   */
  changeSettings: (classId, { settings, version }) => {
    const options = { method: "PUT", content: settings, version };
    return request("api/class/settings", { class: classId }, options);
  },

  /**
   * The newest first.
   *
   * @param {string} classId
   * @returns {Promise<{ lessons: ListedLesson[] }>}
   */
  lessons: (classId) => request("api/class/lessons", { class: classId }),

  /**
   * @param {string} classId
   * @param {{ title: string, by: string }} content
   */
  beginLesson: (classId, content) =>
    request("api/class/lessons", { class: classId }, { method: "POST", content }),

  /**
   * Tells the other instructors what this one looks at.
   *
   * @param {string} classId
   * @param {{ by: string, student?: string }} content
   */
  view: (classId, content) =>
    request("api/class/viewing", { class: classId }, { method: "POST", content }),

  /**
   * Every student's latest run of a cell in the lesson, the newest first.
   *
   * @param {string} classId
   * @param {{ notebookPath: string | null, cellId: string }} place
   * @param {EventsOptions} options
   * @returns {Promise<{ events: DeliveredEvent[], next?: number }>}
   */
  latestRuns: (classId, { notebookPath, cellId }, { before, limit, lesson, signal }) => {
    // An empty path is that of no notebook.
    const place = { cell: cellId, notebook: notebookPath ?? "" };
    const parameters = { class: classId, ...place, before, limit, lesson };
    return request("api/class/events", parameters, { signal });
  },

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

  /**
   * Says that somebody is on the way to a student's hand. The relay knows who acts where somebody
   * has signed in; elsewhere it takes `by`.
   *
   * @param {string} classId
   * @param {string} student
   * @param {string} by
   */
  claim: (classId, student, by) => {
    const path = `api/class/students/${segment(student)}/help/claim`;
    return request(path, { class: classId }, { method: "POST", content: { by } });
  },

  /**
   * Says that nobody is on the way any more.
   *
   * @param {string} classId
   * @param {string} student
   * @param {string} by
   */
  release: (classId, student, by) => {
    const path = `api/class/students/${segment(student)}/help/claim`;
    return request(path, { class: classId }, { method: "DELETE", content: { by } });
  },
};
