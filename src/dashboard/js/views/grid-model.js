// Which students and cells the grid shows, and in which order.

import { cellName } from "../fold.js";
import { studentName } from "../names.js";
import { STATUSES } from "../student.js";

/** Students add cells of their own. A cell that fewer than this share of the most common cell's students ran is left out. */
const COMMON_SHARE = 1 / 20;

/** The notebooks by how many students are in them, the most first. */
export function notebooks(store) {
  const counts = new Map();
  for (const cell of store.state.cells.values()) counts.set(cell.notebookPath, 0);
  for (const { student } of store.rows.values()) {
    if (counts.has(student.notebookPath)) counts.set(student.notebookPath, counts.get(student.notebookPath) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([path]) => path);
}

/** The cells of a notebook that are worth a column, with the names by which a student's runs are found. */
export function columns(store, notebook) {
  const cells = store.state.orderedCells().filter((cell) => cell.notebookPath === notebook);
  const widest = Math.max(0, ...cells.map((cell) => cell.students.size));
  return cells
    .filter((cell) => cell.students.size >= widest * COMMON_SHARE)
    .map((cell) => ({ cell, name: cellName(cell.notebookPath, cell.cellId) }));
}

const byText = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

function byName(a, b) {
  return byText.compare(studentName(a.student), studentName(b.student)) || (a.student.studentId < b.student.studentId ? -1 : 1);
}

const ORDERS = {
  name: () => byName,
  team: () => (a, b) =>
    (a.student.teamName === null) - (b.student.teamName === null) ||
    byText.compare(a.student.teamName ?? "", b.student.teamName ?? "") ||
    byName(a, b),
  progress: (columns) => {
    // How far: the last column that was run, then how many were.
    const reached = new Map();
    const reach = ({ student }) => {
      let value = reached.get(student);
      if (value === undefined) {
        value = 0;
        columns.forEach(({ name }, at) => {
          if (student.cells.has(name)) value = (at + 1) * 1000 + (value % 1000) + 1;
        });
        reached.set(student, value);
      }
      return value;
    };
    return (a, b) => reach(a) - reach(b) || byName(a, b);
  },
  attention: () => (a, b) =>
    STATUSES.indexOf(a.status) - STATUSES.indexOf(b.status) ||
    (a.status === "help" ? a.student.helpSince - b.student.helpSince : 0) ||
    b.student.consecutiveErrors - a.student.consecutiveErrors ||
    byName(a, b),
};

export const orders = Object.keys(ORDERS);

/** The students that are shown, in order. */
export function rows(store, { order, find, status, columns }) {
  const wanted = find.trim().toLocaleLowerCase();
  const matches = ({ student }) =>
    wanted === "" ||
    [student.userName, student.studentId, student.teamName].some((text) => text?.toLocaleLowerCase().includes(wanted));
  const shown = [...store.rows.values()].filter((row) => (status === null || row.status === status) && matches(row));
  return shown.sort(ORDERS[order](columns));
}

/** What a student's runs of a cell come to: `none`, `ok`, `mended`, `failed`. */
export function outcome(runs) {
  if (runs === undefined) return "none";
  if (runs.failed) return "failed";
  return runs.failedRuns > 0 ? "mended" : "ok";
}

/** The same in words. */
export function outcomeText(runs, t) {
  const name = outcome(runs);
  const text = t.grid.cell[name];
  return name === "none" ? text : text(t.runs(runs.runs), t.failures(runs.failedRuns));
}
