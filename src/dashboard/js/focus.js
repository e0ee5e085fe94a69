// What the page is limited to: a team, and the students and cells with a run in the last minutes.

import { MINUTE } from "./time.js";

/**
 * @import { CellRuns } from "./cell.js"
 * @import { Row } from "./store.js"
 * @import { Student } from "./student.js"
 */

/** The spans that can be chosen, in minutes; 0 is the whole lesson. */
export const SPANS = [0, 60, 15, 5];

/** @typedef {{ team: string | null, minutes: number }} Choice */

export class Focus {
  /**
   * `null`: all teams; `""`: the students without one.
   *
   * @type {string | null}
   */
  team = null;
  /** 0: the whole lesson. */
  minutes = 0;

  /** @param {Partial<Record<keyof Choice, unknown>>} choice as it was written somewhere */
  set({ team, minutes }) {
    if (team !== undefined) this.team = typeof team === "string" ? team : null;
    if (minutes !== undefined) this.minutes = SPANS.includes(Number(minutes)) ? Number(minutes) : 0;
  }

  get isWhole() {
    return this.team === null && this.minutes === 0;
  }

  /** @param {{ teamName: string | null }} student */
  hasTeam({ teamName }) {
    return this.team === null || (teamName ?? "") === this.team;
  }

  /**
   * The time since which something counts.
   *
   * @param {number} now
   */
  since(now) {
    return this.minutes === 0 ? -Infinity : now - this.minutes * MINUTE;
  }

  /**
   * Whether a student is of the team, and ran a cell in the span.
   *
   * @param {Student} student
   * @param {number} now
   */
  has(student, now) {
    if (!this.hasTeam(student)) return false;
    return this.minutes === 0 || (student.lastRun?.receivedAt ?? -Infinity) > this.since(now);
  }

  /**
   * Of a cell's students those of the team whose latest run of it is in the span.
   *
   * @param {{ students: Set<Student> }} cell
   * @param {string} name the cell's
   * @param {number} now
   */
  runsOf({ students }, name, now) {
    const since = this.since(now);
    /** @type {CellRuns[]} */
    const found = [];
    for (const student of students) {
      const runs = this.hasTeam(student) ? student.cells.get(name) : undefined;
      if (runs !== undefined && runs.at > since) found.push(runs);
    }
    return found;
  }

  /**
   * The rows of the team.
   *
   * @param {Iterable<Row>} rows
   */
  ofTeam(rows) {
    return [...rows].filter(({ student }) => this.hasTeam(student));
  }
}
