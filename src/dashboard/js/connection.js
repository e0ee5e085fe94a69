// The connection of a page to one class: a summary, then the WebSocket from the summary's cursor,
// and after every disconnect the WebSocket again from the last cursor. No event is missed and none
// is polled for. The page asks for a new summary only when the relay answers `reset`: it says so
// when it cannot resume from the cursor. And when the class's settings have changed, which is told
// by an event, since they change what the lesson's earlier events say.
//
// A WebSocket that does not come about says nothing of the cause. So the page then asks the relay
// who it is: an answer means that WebSockets are blocked on the way, and after the second such
// failure the page takes the event stream instead; 401 means that the session has ended, and the
// page waits until somebody has signed in again, in this tab or another one.

import { ApiError, api } from "./api.js";
import { socketFeed, streamFeed } from "./feed.js";

/**
 * @import { Login } from "./api.js"
 * @import { Feed, Frame } from "./feed.js"
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
/** The relay sends a frame as soon as it has accepted. A proxy may accept and then send nothing. */
const FIRST_FRAME_PATIENCE = 10_000;
/** A relay that drains is replaced at once: the first new attempt is made within this time. */
const DRAIN_WAIT = 100;

/** So many WebSockets in a row that bring no frame, while the relay answers, are blocked. */
const BLOCKED_AFTER = 2;
/** How long the page keeps to the event stream before it tries a WebSocket again. */
const STREAM_SPAN = 5 * 60_000;
/** How often a page that is signed out looks whether it still is. */
const SIGN_IN_PACE = 15_000;

/** A summary that is needed sooner than this after the last one is waited for. */
const RESYNC_SPAN = 30_000;
/** The first such wait is at most this long. Each further one may be twice as long. */
const RESYNC_FIRST = 1_000;
/** The least share of such a wait that is waited. The rest is at random. */
const RESYNC_SHARE = 0.5;

/** The relay's word for it when it cannot find out who calls. */
const SIGN_IN_AWAY = "sign-in-unavailable";

/** Codes with which the relay closes a WebSocket. */
const GOING_AWAY = 1001;
/** The browser's own code for a connection that did not come about, or broke. */
const ABNORMAL = 1006;
const NOT_ALLOWED = 1008;

/**
 * `loading`: no summary was loaded yet. `connecting`: the WebSocket is opened for the first time.
 * `catching`: it is opened again, or the events since the cursor are being read. `live`: the page
 * is current. `offline`: a new attempt is waited for. `resynchronising`: the summary is loaded
 * again, after a `reset`. `signedOut`: the page waits until somebody signs in. `forbidden`: the
 * caller has no right in the class. `refused`: the relay does not serve the class to this page.
 * `earlier`: an earlier lesson was loaded, which does not change any more.
 *
 * @typedef {"loading" | "connecting" | "catching" | "live" | "offline" | "resynchronising"
 *   | "signedOut" | "forbidden" | "refused" | "earlier"} StateName
 */

/**
 * @typedef {object} ConnectionState
 * @property {StateName} name
 * @property {number | null} since when the page stopped being current, by
 *   `performance.now()`: setting the machine's clock must not move it
 * @property {number | null} retryAt when the next attempt begins, likewise
 * @property {string | null} reason the relay's own words
 * @property {Login | null} login where to sign in
 * @property {boolean} isBySettings whether the summary is loaded again for new settings
 * @property {boolean} isSignInAway whether the relay cannot find out who calls
 * @property {boolean} isByStream whether WebSockets are blocked, and the event stream is used
 */

/**
 * @typedef {object} Listener
 * @property {(summary: Summary, asked: number) => void} summary `asked`: by `performance.now()`
 * @property {(events: DeliveredEvent[]) => boolean} events whether a new summary is needed
 * @property {(now: string) => void} now is told the database's time
 * @property {(state: ConnectionState) => void} state
 */

const QUIET = {
  retryAt: null,
  reason: null,
  login: null,
  isSignInAway: false,
  isBySettings: false,
};

/** @type {ConnectionState} */
export const LOADING = { name: "loading", since: null, isByStream: false, ...QUIET };

export class Connection {
  state = LOADING;
  #classId;
  #listener;
  #lesson;
  /** @type {string | null} */
  #cursor = null;
  /** @type {Feed | null} */
  #feed = null;
  /** Whether the feed has brought a frame. */
  #hasFrames = false;
  /** WebSockets in a row that brought none although the relay answered. */
  #blocked = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #silenceTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #socketTimer;
  /** Attempts since the page was last current. */
  #attempt = 0;
  /** When a new summary was last asked for, by `performance.now()`. */
  #resyncAt = -Infinity;
  #resyncWait = RESYNC_FIRST;
  #abort = new AbortController();

  /**
   * @param {string} classId
   * @param {Listener} listener
   * @param {string | null} [lesson] an earlier one, which is loaded and not followed
   */
  constructor(classId, listener, lesson = null) {
    this.#classId = classId;
    this.#listener = listener;
    this.#lesson = lesson;
    const { signal } = this.#abort;
    window.addEventListener("online", () => this.retry(), { signal });
    // A laptop that slept may hold a connection that is long gone; and somebody who comes back to
    // this tab may have signed in in another one.
    const wake = () => {
      if (document.visibilityState !== "visible") return;
      this.lookForSignIn();
      this.#ping();
    };
    document.addEventListener("visibilitychange", wake, { signal });
    this.#load();
  }

  /** Ends the connection for good. */
  close() {
    this.#abort.abort();
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#socketTimer);
    this.#drop();
  }

  /** Makes the next attempt now instead of at `retryAt`. */
  retry() {
    if (this.state.retryAt === null) return;
    clearTimeout(this.#retryTimer);
    this.#proceed();
  }

  /** Looks whether somebody has signed in meanwhile, and then goes on. */
  async lookForSignIn() {
    if (this.state.name !== "signedOut") return;
    const { signal } = this.#abort;
    clearTimeout(this.#retryTimer);
    try {
      await api.me(signal);
      if (!signal.aborted && this.state.name === "signedOut") this.#proceed();
    } catch (error) {
      if (signal.aborted || this.state.name !== "signedOut") return;
      this.#awaitSignIn(error instanceof ApiError ? (error.login ?? this.state.login) : null);
    }
  }

  /**
   * @param {StateName} name
   * @param {Partial<ConnectionState>} [more]
   */
  #set(name, more = {}) {
    let since = null;
    if (name !== "live") {
      since = this.state.since ?? (this.#cursor === null ? null : performance.now());
    }
    this.state = { ...QUIET, name, since, isByStream: this.#isBlocked, ...more };
    this.#listener.state(this.state);
  }

  get #isBlocked() {
    return this.#blocked >= BLOCKED_AFTER;
  }

  async #load() {
    const asked = performance.now();
    try {
      const summary = await api.summary(this.#classId, this.#lesson, this.#abort.signal);
      if (this.#abort.signal.aborted) return;
      this.#listener.summary(summary, asked);
      if (this.#lesson !== null) return this.#set("earlier");
      this.#cursor = summary.cursor;
      this.#connect(summary.cursor);
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#failed(error);
    }
  }

  /**
   * A request has failed.
   *
   * @param {unknown} error
   */
  #failed(error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (!(error instanceof ApiError)) {
      this.#set("refused", { reason });
    } else if (error.login !== null) {
      this.#awaitSignIn(error.login);
    } else if (error.isTransient) {
      const isSignInAway = error.problem === SIGN_IN_AWAY;
      this.#retryLater(error.status === 0 ? null : reason, isSignInAway);
    } else {
      this.#set(error.problem === "class-not-allowed" ? "forbidden" : "refused", { reason });
    }
  }

  /** @param {Login | null} login */
  #awaitSignIn(login) {
    clearTimeout(this.#retryTimer);
    this.#set("signedOut", { login: login ?? "relay" });
    this.#retryTimer = setTimeout(() => this.lookForSignIn(), SIGN_IN_PACE);
  }

  /** @param {string} cursor */
  #connect(cursor) {
    this.#set(this.state.since === null ? "connecting" : "catching");
    this.#hasFrames = false;
    const open = this.#isBlocked ? streamFeed : socketFeed;
    this.#feed = open(
      { class: this.#classId, cursor },
      {
        opened: () => this.#expectFrame(FIRST_FRAME_PATIENCE),
        frame: (frame) => this.#take(frame),
        ended: (code, reason) => this.#lost(code, reason),
      },
    );
    this.#expectFrame(CONNECT_PATIENCE);
  }

  /** @param {Frame} frame */
  #take(frame) {
    this.#hasFrames = true;
    this.#received();
    if (typeof frame.now === "string") this.#listener.now(frame.now);
    // The state may lack events. A new summary has them, and says up to where it reaches.
    if (frame.type === "reset") return this.#resynchronise(false);
    if (frame.type === "progress" && this.#listener.events(frame.events)) {
      return this.#resynchronise(true);
    }
    if (typeof frame.cursor === "string") this.#cursor = frame.cursor;
    if (frame.type === "live") {
      this.#attempt = 0;
      if (!this.#isBlocked) this.#blocked = 0;
      this.#set("live");
    }
  }

  /**
   * Loads a new summary: the first time at once; when it is needed again soon, after a wait, so
   * that neither settings that change again and again nor a relay that keeps on sending `reset`
   * make every page of a class ask without end, and not all of them at the same moment.
   *
   * @param {boolean} isBySettings
   */
  #resynchronise(isBySettings) {
    this.#drop();
    this.#cursor = null;
    this.#set("resynchronising", { since: this.state.since ?? performance.now(), isBySettings });
    const isSoon = performance.now() - this.#resyncAt < RESYNC_SPAN;
    const bound = isSoon ? this.#resyncWait : 0;
    const wait = bound * (RESYNC_SHARE + (1 - RESYNC_SHARE) * Math.random());
    this.#resyncWait = isSoon ? Math.min(BACKOFF_CAP, 2 * bound) : RESYNC_FIRST;
    const load = () => {
      this.#resyncAt = performance.now();
      this.#load();
    };
    if (wait === 0) load();
    else this.#retryTimer = setTimeout(load, wait);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #lost(code, reason) {
    const hadFrames = this.#hasFrames;
    this.#drop();
    if (code === NOT_ALLOWED) {
      const word = reason.split(":", 1)[0];
      if (word === "unauthorized" || word === "expired") this.#awaitSignIn("relay");
      else this.#set(word === "class" ? "forbidden" : "refused", { reason });
    } else if (code === GOING_AWAY && this.#attempt === 0) {
      this.#attempt = 1;
      this.#retryAfter(Math.random() * DRAIN_WAIT, null);
    } else {
      this.#retryLater(reason || null, reason.startsWith(SIGN_IN_AWAY));
      // A relay that closes with a code has been reached.
      if (!hadFrames && (code === ABNORMAL || code === 0)) this.#askWhy();
    }
  }

  /** Finds out why a connection did not come about, while the next attempt is waited for. */
  async #askWhy() {
    const attempt = this.#attempt;
    const { signal } = this.#abort;
    const isOver = () => signal.aborted || this.#attempt !== attempt || this.#feed !== null;
    try {
      await api.me(signal);
      if (isOver() || this.#isBlocked) return;
      this.#blocked += 1;
      if (!this.#isBlocked) return;
      this.#trySocketLater();
      this.retry();
    } catch (error) {
      if (isOver() || !(error instanceof ApiError) || error.login === null) return;
      this.#awaitSignIn(error.login);
    }
  }

  /** Looks from time to time whether a WebSocket comes through again. */
  #trySocketLater() {
    clearTimeout(this.#socketTimer);
    this.#socketTimer = setTimeout(() => this.#trySocket(), STREAM_SPAN);
  }

  /** Tries a WebSocket beside the stream, which goes on meanwhile. */
  #trySocket() {
    const cursor = this.#cursor;
    if (cursor === null || this.state.name !== "live") {
      this.#trySocketLater();
      return;
    }
    const timer = setTimeout(() => failed(), CONNECT_PATIENCE);
    const over = () => {
      clearTimeout(timer);
      this.#abort.signal.removeEventListener("abort", over);
      trial.close();
    };
    const failed = () => {
      over();
      this.#trySocketLater();
    };
    const works = () => {
      over();
      this.#blocked = 0;
      // Not this socket: the stream has gone on since its cursor.
      this.#drop();
      if (this.#cursor !== null) this.#connect(this.#cursor);
    };
    const listener = { opened: () => {}, frame: works, ended: failed };
    const trial = socketFeed({ class: this.#classId, cursor }, listener);
    this.#abort.signal.addEventListener("abort", over);
  }

  /**
   * Waits at random between nothing and a bound that doubles with each attempt, so that the pages
   * of a class do not all come back at the same moment.
   *
   * @param {string | null} reason
   * @param {boolean} isSignInAway
   */
  #retryLater(reason, isSignInAway) {
    const bound = Math.min(BACKOFF_CAP, BACKOFF_FIRST * 2 ** this.#attempt);
    this.#attempt += 1;
    this.#retryAfter(Math.random() * bound, reason, isSignInAway);
  }

  /**
   * @param {number} wait in milliseconds
   * @param {string | null} reason
   */
  #retryAfter(wait, reason, isSignInAway = false) {
    this.#set("offline", { reason, isSignInAway, retryAt: performance.now() + wait });
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
    this.#silenceTimer = setTimeout(() => this.#ping(true), SILENCE);
  }

  /** Asks for a sign of life. A stream cannot be asked, but sends one in time by itself. */
  #ping(isSilent = false) {
    if (this.#feed?.ask() || (isSilent && this.#feed !== null)) this.#expectFrame(PONG_PATIENCE);
  }

  /**
   * Counts the connection as lost unless a frame is received in time. A browser may take minutes to
   * notice that the other side is gone.
   *
   * @param {number} patience in milliseconds
   */
  #expectFrame(patience) {
    clearTimeout(this.#silenceTimer);
    const feed = this.#feed;
    const expired = () => feed === this.#feed && this.#lost(0, "");
    this.#silenceTimer = setTimeout(expired, patience);
  }

  #drop() {
    clearTimeout(this.#silenceTimer);
    this.#feed?.close();
    this.#feed = null;
  }
}
