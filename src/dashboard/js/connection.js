// A class followed without a gap: a summary, then the WebSocket from its cursor, then the same cursor's successor after
// every disconnect. It never polls; it asks for a new summary only when the relay says that a cursor cannot be resumed.

import { api } from "./api.js";

/** Waits before connecting again: at most the first, doubled up to the cap, each taken at random between 0 and that. */
const BACKOFF_FIRST = 300;
const BACKOFF_CAP = 15_000;
/** The relay marks a quiet class every 25 s: after this long without a word, it is asked for one. */
const SILENCE = 30_000;
const PONG_PATIENCE = 8_000;
const CONNECT_PATIENCE = 10_000;

const GOING_AWAY = 1001;
const NOT_ALLOWED = 1008;

/**
 * States: `loading` (no picture yet), `connecting`, `catching` (connected, not yet `live`), `live`, `offline`,
 * `resynchronising`, `refused`. `since` is when the picture stopped being current (`Date.now()`), `retryAt` when it is
 * tried again, `reason` what the relay said.
 */
export class Connection {
  state = { name: "loading", since: null, retryAt: null, reason: null };
  #classId;
  #listener;
  #cursor = null;
  #socket = null;
  #timer = null;
  #silence = null;
  #attempt = 0;
  #abort = new AbortController();
  #wake = () => this.retry();
  #visible = () => document.visibilityState === "visible" && this.#socket !== null && this.#ping();

  /** `listener`: `summary(answer, asked)`, `events(events)`, `state(state)`. */
  constructor(classId, listener) {
    this.#classId = classId;
    this.#listener = listener;
    window.addEventListener("online", this.#wake);
    // A laptop that slept may hold a connection that is long gone.
    document.addEventListener("visibilitychange", this.#visible);
    this.#load();
  }

  /** Ends it for good. */
  close() {
    this.#abort.abort();
    window.removeEventListener("online", this.#wake);
    document.removeEventListener("visibilitychange", this.#visible);
    clearTimeout(this.#timer);
    this.#drop();
  }

  /** Tries again now instead of at `retryAt`. */
  retry() {
    if (this.state.retryAt === null) return;
    clearTimeout(this.#timer);
    this.#proceed();
  }

  #set(name, more = {}) {
    const current = name === "live";
    const since = current ? null : (this.state.since ?? (this.#cursor === null ? null : Date.now()));
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
      this.#connect();
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (error.isTransient) {
        this.#later("offline", error.status === 0 ? null : error.message);
      } else {
        this.#set("refused", { reason: error.message });
      }
    }
  }

  #connect() {
    this.#set(this.state.since === null ? "connecting" : "catching");
    const url = new URL("ws/connect", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = new URLSearchParams({ class: this.#classId, cursor: this.#cursor });
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => this.#heard();
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    this.#expect(CONNECT_PATIENCE);
  }

  #take(frame) {
    this.#heard();
    if (frame.type === "reset") {
      // What was folded so far may lack events: begin anew from a summary, which says up to where it holds.
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

  #lost(code, reason) {
    this.#drop();
    if (code === NOT_ALLOWED) {
      this.#set("refused", { reason });
    } else if (code === GOING_AWAY && this.#attempt === 0) {
      // The relay is being replaced; another one is there, or this one is back in a moment.
      this.#attempt = 1;
      this.#later("offline", null, Math.random() * 100);
    } else {
      this.#later("offline", reason || null);
    }
  }

  #later(name, reason, wait) {
    const most = Math.min(BACKOFF_CAP, BACKOFF_FIRST * 2 ** this.#attempt);
    if (wait === undefined) {
      this.#attempt += 1;
      wait = Math.random() * most;
    }
    this.#set(name, { reason, retryAt: Date.now() + wait });
    this.#timer = setTimeout(() => this.#proceed(), wait);
  }

  #proceed() {
    if (this.#cursor === null) {
      this.#set("loading");
      this.#load();
    } else {
      this.#connect();
    }
  }

  /** Something came: the connection is there. */
  #heard() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#ping(), SILENCE);
  }

  #ping() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send('{"type":"ping"}');
    this.#expect(PONG_PATIENCE);
  }

  /** Gives the connection up unless something comes within `patience`: a dead one may take minutes to say so. */
  #expect(patience) {
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#silence = setTimeout(() => socket === this.#socket && this.#lost(0, ""), patience);
  }

  #drop() {
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
