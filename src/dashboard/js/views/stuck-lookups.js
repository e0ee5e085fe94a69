// Looks up the errors of students who are stuck. The state says how often a student has failed, but
// not with which error: for what happened before the page was opened, the events are read.

import { api } from "../api.js";
import { normalize } from "../normalize.js";
import { streakName } from "../store.js";

/**
 * @import { NormalizedEvent } from "../normalize.js"
 * @import { Row } from "../store.js"
 * @import { Streak } from "../streaks.js"
 * @import { Page } from "./list.js"
 */

/** The most requests at a time. */
const MAX_REQUESTS = 3;
/** The number of events that are read of a student. */
const EVENTS = 40;
/** The wait after a request that failed, in milliseconds. */
const RETRY_WAIT = 2_000;

export class StreakLookups {
  #page;
  /** @type {Row[]} */
  #waiting = [];
  /**
   * Ids of the students whose events are being read.
   *
   * @type {Set<string>}
   */
  #running = new Set();

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
  }

  /**
   * Replaces the list of students whose errors are wanted.
   *
   * @param {Row[]} rows
   */
  want(rows) {
    this.#waiting = rows.filter((row) => row.failing === null || row.failing.since === null);
    this.#next();
  }

  #next() {
    while (this.#running.size < MAX_REQUESTS) {
      const row = this.#waiting.find((row) => !this.#running.has(row.student.studentId));
      if (row === undefined) return;
      this.#waiting = this.#waiting.filter((other) => other !== row);
      this.#lookUp(row);
    }
  }

  /** @param {Row} row */
  async #lookUp(row) {
    const { classId, lessonId, store } = this.#page;
    const { studentId } = row.student;
    this.#running.add(studentId);
    try {
      const { events } = await api.events(classId, studentId, {
        limit: EVENTS,
        lesson: lessonId ?? undefined,
      });
      // An event may have changed the row meanwhile. Its message is newer than the one read.
      if (store.rows.get(studentId) === row && row.status === "stuck") {
        const { lesson, settings } = store.state;
        const inLesson = events.filter(({ id }) => id >= (lesson?.first ?? 0));
        const read = inLesson.map((event) => normalize(event, settings));
        const found = failuresOf(row.streak, read);
        const message = row.failing?.message ?? found.message;
        store.setFailing(row, { cell: streakName(row.streak), message, since: found.since });
      }
    } catch {
      // The row says less without it. It is wanted again with the next change.
      await new Promise((done) => setTimeout(done, RETRY_WAIT));
    } finally {
      this.#running.delete(studentId);
      this.#next();
    }
  }
}

/**
 * The error of the latest of some failures in a row, and when the first was received.
 *
 * @param {Streak | null} streak
 * @param {NormalizedEvent[]} events the newest first
 */
function failuresOf(streak, events) {
  const runs = events.filter(
    ({ kind, cell, notebook }) =>
      kind === "run" && cell === streak?.cellId && notebook === streak.notebookPath,
  );
  const success = runs.findIndex((run) => !run.failed);
  const failures = success < 0 ? runs : runs.slice(0, success);
  return { message: failures[0]?.message ?? null, since: failures.at(-1)?.received ?? 0 };
}
