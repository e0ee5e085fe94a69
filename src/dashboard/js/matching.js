// By which name a notebook, a cell and an error message are counted. Clients name one notebook in
// several ways, and a message holds parts that differ from run to run. The relay has the same rules
// in Rust.

/** @import { Settings } from "./settings.js" */

/** A drive's prefix, as `RTC:`. */
const DRIVE = /^[A-Za-z][A-Za-z0-9_-]*:/;
/** What a path may begin with that says nothing. */
const ROOT = /^(?:\.?\/)+/;
/** What JupyterLab puts behind the name of a copy. */
const COPY = /-Copy[0-9]+$/;

/** A UUID, or a word. */
const WORD = /[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?!\w)|\w+/g;
/**
 * Words that differ from run to run: an address; an id; a process; a UUID; a hash. Of the last, a
 * text of letters alone may be a word of some language.
 */
const DIFFERS = new RegExp(
  `^(?:${[
    "0[xX][0-9a-fA-F]{4,}",
    "[0-9]{7,}",
    "ipykernel_[0-9]+",
    ".*-.*",
    "(?=.*[0-9])(?=.*[a-fA-F])[0-9a-fA-F]{12,}",
  ].join("|")})$`,
);
const DIGITS = /^[0-9]+$/;
/** What stands before the count of runs, as IPython names a cell by it. */
const IN_CELL = /In ?\[$/;
/** What stands behind the hash of a cell's code, as the name of its file. */
const AFTER_HASH = /^\.py(?!\w)/;

/**
 * The notebook of a path as a client gave it; `null` if nothing is left of it.
 *
 * @param {string | null} path
 * @param {Pick<Settings, "notebooksBy">} settings
 */
export function notebookOf(path, { notebooksBy }) {
  if (path === null) return null;
  const whole = path.replace(DRIVE, "").replace(ROOT, "");
  const name =
    notebooksBy === "name" ? withoutCopy(whole.slice(whole.lastIndexOf("/") + 1)) : whole;
  return name === "" ? null : name;
}

/** @param {string} name of a file */
function withoutCopy(name) {
  const dot = name.lastIndexOf(".");
  const stem = dot > 0 ? name.slice(0, dot) : name;
  return stem.replace(COPY, "") + name.slice(stem.length);
}

/**
 * The cell of an event with this id and this place in the notebook.
 *
 * @param {string | null} id
 * @param {number | null} index
 * @param {Pick<Settings, "cellsBy">} settings
 */
export function cellOf(id, index, { cellsBy }) {
  const place = index === null ? null : `#${index}`;
  return cellsBy === "position" ? (place ?? id) : (id ?? place);
}

/**
 * The text by which a message is counted: without what differs from run to run.
 *
 * @param {string} message
 */
export function messageKey(message) {
  return message.replace(WORD, (word, /** @type {number} */ at) => {
    const differs = DIFFERS.test(word) || (DIGITS.test(word) && namesRun(message, at, word));
    return differs ? "*" : word;
  });
}

/**
 * Whether a number names the run that failed.
 *
 * @param {string} message
 * @param {number} at where the number stands
 * @param {string} word the number
 */
function namesRun(message, at, word) {
  const [before, after] = [message.slice(0, at), message.slice(at + word.length)];
  if (AFTER_HASH.test(after) || before.endsWith("ipython-input-")) return true;
  return IN_CELL.test(before) && after.startsWith("]");
}
