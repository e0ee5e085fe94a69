// The connection of a page to one class: a summary, then the WebSocket from the summary's cursor,
// and after every disconnect the WebSocket again from the last cursor. No event is missed and none
// is polled for. The page asks for a new summary only when the relay answers `reset`: it says so
// when it cannot resume from the cursor.

import { ApiError, api } from "./api.js";

/**
 * @import { DeliveredEvent } from "./normalize.js"
 * @import { Summary } from "./summary.js"
 */

/** The first wait before a new attempt is at most this long, in milliseconds. */
const BACKOFF_FIRST = 300;
/** Each further wait may be twice as long, up to this. */
const BACKOFF_CAP = 15_000;
/** The relay sends a quiet class a mark every 25 s. A longer silence is ended by a ping. */
const SILENCE = 30_000;
/** How long an answer to a ping is waited for. */
const PONG_PATIENCE = 8_000;
const CONNECT_PATIENCE = 10_000;
/** A relay that drains is replaced at once: the first new attempt is made within this time. */
const DRAIN_WAIT = 100;

/** Codes with which the relay closes a WebSocket. */
const GOING_AWAY = 1001;
const NOT_ALLOWED = 1008;

/**
 * `loading`: no summary was loaded yet. `connecting`: the WebSocket is opened for the first time.
 * `catching`: it is opened again, or the events since the cursor are being read. `live`: the page
 * is current. `offline`: a new attempt is waited for. `resynchronising`: the summary is loaded
 * again, after a `reset`. `refused`: the relay does not serve the class to this page.
 *
 * @typedef {"loading" | "connecting" | "catching" | "live" | "offline" | "resynchronising"
 *   | "refused"} StateName
 */

/**
 * @typedef {object} ConnectionState
 * @property {StateName} name
 * @property {number | null} since when the page stopped being current, by `Date.now()`
 * @property {number | null} retryAt when the next attempt begins, by `Date.now()`
 * @property {string | null} reason the relay's own words
 */

/**
 * @typedef {object} Listener
 * @property {(summary: Summary, asked: number) => void} summary
 * @property {(events: DeliveredEvent[]) => void} events
 * @property {(state: ConnectionState) => void} state
 */

/** @type {ConnectionState} */
export const LOADING = { name: "loading", since: null, retryAt: null, reason: null };

export class Connection {
  state = LOADING;
  #classId;
  #listener;
  /** @type {string | null} */
  #cursor = null;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #silenceTimer;
  /** Attempts since the page was last current. */
  #attempt = 0;
  #abort = new AbortController();

  /**
   * @param {string} classId
   * @param {Listener} listener
   */
  constructor(classId, listener) {
    this.#classId = classId;
    this.#listener = listener;
    const { signal } = this.#abort;
    window.addEventListener("online", () => this.retry(), { signal });
    // A laptop that slept may hold a connection that is long gone.
    const wake = () => document.visibilityState === "visible" && this.#ping();
    document.addEventListener("visibilitychange", wake, { signal });
    this.#load();
  }

  /** Ends the connection for good. */
  close() {
    this.#abort.abort();
    clearTimeout(this.#retryTimer);
    this.#drop();
  }

  /** Makes the next attempt now instead of at `retryAt`. */
  retry() {
    if (this.state.retryAt === null) return;
    clearTimeout(this.#retryTimer);
    this.#proceed();
  }

  /**
   * @param {StateName} name
   * @param {Partial<ConnectionState>} [more]
   */
  #set(name, more = {}) {
    let since = null;
    if (name !== "live") since = this.state.since ?? (this.#cursor === null ? null : Date.now());
    this.state = { name, since, retryAt: null, reason: null, ...more };
    this.#listener.state(this.state);
  }

  async #load() {
    const asked = Date.now();
    try {
      const summary = await api.summary(this.#classId, this.#abort.signal);
      if (this.#abort.signal.aborted) return;
      this.#listener.summary(summary, asked);
      this.#cursor = summary.cursor;
      this.#connect(summary.cursor);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (error instanceof ApiError && error.isTransient) {
        this.#retryLater(error.status === 0 ? null : error.message);
      } else {
        this.#set("refused", { reason: error instanceof Error ? error.message : String(error) });
      }
    }
  }

  /** @param {string} cursor */
  #connect(cursor) {
    this.#set(this.state.since === null ? "connecting" : "catching");
    const url = new URL("ws/connect", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = String(new URLSearchParams({ class: this.#classId, cursor }));
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => this.#received();
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    this.#expectFrame(CONNECT_PATIENCE);
  }

  /** @param {{ type: string, events: DeliveredEvent[], cursor?: string }} frame */
  #take(frame) {
    this.#received();
    if (frame.type === "reset") {
      // The state may lack events. A new summary has them, and says up to where it reaches.
      this.#drop();
      this.#cursor = null;
      this.#set("resynchronising", { since: this.state.since ?? Date.now() });
      this.#load();
      return;
    }
    if (frame.type === "progress") this.#listener.events(frame.events);
    if (typeof frame.cursor === "string") this.#cursor = frame.cursor;
    if (frame.type === "live") {
      this.#attempt = 0;
      this.#set("live");
    }
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #lost(code, reason) {
    this.#drop();
    if (code === NOT_ALLOWED) {
      this.#set("refused", { reason });
    } else if (code === GOING_AWAY && this.#attempt === 0) {
      this.#attempt = 1;
      this.#retryAfter(Math.random() * DRAIN_WAIT, null);
    } else {
      this.#retryLater(reason || null);
    }
  }

  /**
   * Waits at random between nothing and a bound that doubles with each attempt, so that the pages
   * of a class do not all come back at the same moment.
   *
   * @param {string | null} reason
   */
  #retryLater(reason) {
    const bound = Math.min(BACKOFF_CAP, BACKOFF_FIRST * 2 ** this.#attempt);
    this.#attempt += 1;
    this.#retryAfter(Math.random() * bound, reason);
  }

  /**
   * @param {number} wait in milliseconds
   * @param {string | null} reason
   */
  #retryAfter(wait, reason) {
    this.#set("offline", { reason, retryAt: Date.now() + wait });
    this.#retryTimer = setTimeout(() => this.#proceed(), wait);
  }

  #proceed() {
    if (this.#cursor === null) {
      this.#set("loading");
      this.#load();
    } else {
      this.#connect(this.#cursor);
    }
  }

  /** A frame was received, so the connection is there: the silence begins now. */
  #received() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#ping(), SILENCE);
  }

  #ping() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send('{"type":"ping"}');
    this.#expectFrame(PONG_PATIENCE);
  }

  /**
   * Counts the connection as lost unless a frame is received in time. A browser may take minutes to
   * notice that the other side is gone.
   *
   * @param {number} patience in milliseconds
   */
  #expectFrame(patience) {
    clearTimeout(this.#silenceTimer);
    const socket = this.#socket;
    const expired = () => socket === this.#socket && this.#lost(0, "");
    this.#silenceTimer = setTimeout(expired, patience);
  }

  #drop() {
    clearTimeout(this.#silenceTimer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
