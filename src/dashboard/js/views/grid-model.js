// The students and cells that the grid shows, and their order.

import { cellName } from "../cell.js";
import { Focus } from "../focus.js";
import { studentName } from "../names.js";
import { hasSucceeded, nameOf, outlineFor, outlineOf, plannedCell } from "../outline.js";
import { STATUSES } from "../student.js";

/**
 * @import { Cell, CellRuns } from "../cell.js"
 * @import { Text } from "../i18n.js"
 * @import { OutlineCell } from "../outline.js"
 * @import { Row, Store } from "../store.js"
 * @import { Status } from "../student.js"
 */

/**
 * Students add cells that no other student has. Without an outline a cell that fewer than this
 * share of the most common cell's students ran is folded away, also one that only the fastest have
 * reached yet.
 */
const COMMON_SHARE = 1 / 20;

/**
 * @typedef {object} Column
 * @property {Cell} cell
 * @property {string} name the `cellName` by which a student's runs of it are found
 * @property {OutlineCell | null} planned what the outline says of it
 * @property {number} done the students who have succeeded in it
 */

/**
 * What limits the columns: the page's focus, and whether the cells that are folded away are shown.
 *
 * @typedef {{ focus?: Focus, now?: number, isOpen?: boolean }} ColumnChoice
 */

/**
 * The students of each notebook, by its path; the fullest first. The outline's are among them.
 *
 * @param {Store} store
 */
export function countNotebooks(store) {
  /** @type {Map<string | null, number>} */
  const counts = new Map();
  for (const cell of store.state.cells.values()) counts.set(cell.notebookPath, 0);
  const names = new Set([...counts.keys()].flatMap((path) => [path, nameOf(path)]));
  for (const path of outlineOf(store.state.settings).keys()) {
    if (!names.has(path)) counts.set(path, 0);
  }
  for (const { student } of store.rows.values()) {
    const count = counts.get(student.notebookPath);
    if (count !== undefined) counts.set(student.notebookPath, count + 1);
  }
  return new Map([...counts].sort((a, b) => b[1] - a[1]));
}

/**
 * The paths of the notebooks, the one with the most students first.
 *
 * @param {Store} store
 */
export function notebooks(store) {
  return [...countNotebooks(store).keys()];
}

/**
 * The columns of a notebook: the cells of its outline, in its order; without one those that are
 * common. `folded` is the number of the others, whether they are shown or not.
 *
 * @param {Store} store
 * @param {string | null} notebook
 * @param {ColumnChoice} [choice]
 * @returns {{ columns: Column[], folded: number, isPlanned: boolean }}
 */
export function columnsOf(store, notebook, { focus = new Focus(), now = 0, isOpen } = {}) {
  const { state } = store;
  const outline = outlineFor(state.settings, notebook);
  const cells = state.orderedCells().filter((cell) => cell.notebookPath === notebook);
  /** @type {Map<Cell, OutlineCell | null>} */
  const shown = new Map();
  for (const planned of outline ?? []) {
    shown.set(plannedCell(planned, notebook, state.cells), planned);
  }
  const others = cells.filter((cell) => !shown.has(cell));
  const most = Math.max(0, ...others.map((cell) => cell.students.size));
  const isFolded = (/** @type {Cell} */ cell) =>
    outline !== undefined || cell.students.size < most * COMMON_SHARE;
  for (const cell of others) if (isOpen || !isFolded(cell)) shown.set(cell, null);
  const columns = [...shown].map(([cell, planned]) => {
    const name = cellName(cell.notebookPath, cell.cellId);
    let done = 0;
    for (const student of planned === null ? [] : cell.students) {
      if (focus.hasTeam(student) && hasSucceeded(student, name)) done += 1;
    }
    return { cell, name, planned, done };
  });
  const isInSpan = (/** @type {Cell} */ cell) =>
    focus.minutes === 0 ||
    focus.runsOf(cell, cellName(cell.notebookPath, cell.cellId), now).length > 0;
  return {
    columns: columns.filter(({ cell }) => isInSpan(cell)),
    folded: others.filter((cell) => isFolded(cell) && isInSpan(cell)).length,
    isPlanned: outline !== undefined,
  };
}

/**
 * @param {Store} store
 * @param {string | null} notebook
 * @param {ColumnChoice} [choice]
 */
export function columns(store, notebook, choice) {
  return columnsOf(store, notebook, choice).columns;
}

/** @typedef {"attention" | "name" | "team" | "progress"} OrderName */

/** @typedef {(a: Row, b: Row) => number} Compare */

const byText = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** @type {Compare} */
function byName({ student: a }, { student: b }) {
  return byText.compare(studentName(a), studentName(b)) || (a.studentId < b.studentId ? -1 : 1);
}

/** @type {Compare} */
function byTeam(a, b) {
  const [team, other] = [a.student.teamName, b.student.teamName];
  return (
    Number(team === null) - Number(other === null) ||
    byText.compare(team ?? "", other ?? "") ||
    byName(a, b)
  );
}

/** @type {Compare} */
function byAttention(a, b) {
  const [student, other] = [a.student, b.student];
  const waited = a.status === "help" ? (student.helpSince ?? 0) - (other.helpSince ?? 0) : 0;
  return (
    STATUSES.indexOf(a.status) - STATUSES.indexOf(b.status) ||
    waited ||
    (b.streak?.failures ?? 0) - (a.streak?.failures ?? 0) ||
    byName(a, b)
  );
}

/**
 * By how far a student has come: first by the last column that was run, then by how many were.
 *
 * @param {Column[]} columns
 * @returns {Compare}
 */
function byProgress(columns) {
  /** @type {Map<Row, { last: number, count: number }>} */
  const known = new Map();
  /** @param {Row} row */
  const progress = (row) => {
    let found = known.get(row);
    if (found === undefined) {
      found = { last: 0, count: 0 };
      for (const [at, { name }] of columns.entries()) {
        if (row.student.cells.has(name)) found = { last: at + 1, count: found.count + 1 };
      }
      known.set(row, found);
    }
    return found;
  };
  return (a, b) => {
    const [reached, other] = [progress(a), progress(b)];
    return reached.last - other.last || reached.count - other.count || byName(a, b);
  };
}

/** @type {Record<OrderName, (columns: Column[]) => Compare>} */
const ORDERS = {
  name: () => byName,
  team: () => byTeam,
  progress: byProgress,
  attention: () => byAttention,
};

export const orders = /** @type {OrderName[]} */ (Object.keys(ORDERS));

/**
 * @param {string} name
 * @returns {name is OrderName}
 */
export function isOrder(name) {
  return Object.hasOwn(ORDERS, name);
}

/**
 * The students that are shown, in order.
 *
 * @param {Store} store
 * @param {{ order: OrderName, find: string, status: Status | null, columns: Column[],
 *   focus?: Focus, now?: number }} choice
 */
export function rows(store, { order, find, status, columns, focus = new Focus(), now = 0 }) {
  const wanted = find.trim().toLocaleLowerCase();
  /** @param {Row} row */
  const matches = ({ student }) =>
    wanted === "" ||
    [student.userName, student.studentId, student.teamName].some((text) =>
      text?.toLocaleLowerCase().includes(wanted),
    );
  const shown = [...store.rows.values()].filter(
    (row) =>
      (status === null || row.status === status) && focus.has(row.student, now) && matches(row),
  );
  return shown.sort(ORDERS[isOrder(order) ? order : "attention"](columns));
}

/**
 * `mended`: the latest run succeeded after an earlier one had failed.
 *
 * @typedef {"none" | "ok" | "mended" | "failed"} Outcome
 */

/**
 * The outcome of a student's runs of a cell.
 *
 * @param {CellRuns | undefined} runs
 * @returns {Outcome}
 */
export function outcome(runs) {
  if (runs === undefined) return "none";
  if (runs.failed) return "failed";
  return runs.failedRuns > 0 ? "mended" : "ok";
}

/**
 * The outcome in words.
 *
 * @param {CellRuns | undefined} runs
 * @param {Text} t
 */
export function outcomeText(runs, t) {
  if (runs === undefined) return t.grid.cell.none;
  const [all, failures] = [t.runs(runs.runs), t.failures(runs.failedRuns)];
  if (runs.failed) return t.grid.cell.failed(all, failures);
  return runs.failedRuns > 0 ? t.grid.cell.mended(all, failures) : t.grid.cell.ok(all);
}
