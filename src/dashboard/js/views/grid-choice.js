// What was chosen and typed at the grid. The page holds it, since the grid is made again when the
// language changes.

/**
 * @typedef {object} GridChoice
 * @property {string} find what students are looked for by
 * @property {string | null | undefined} notebook the path of the notebook that was chosen; `null`
 *   is that of cells without one, `undefined`: the one with the most students is shown
 * @property {boolean} asTable whether the grid is shown as a table
 * @property {boolean} isOpen whether cells that students added are shown
 */

/** @returns {GridChoice} */
export function newGridChoice() {
  return { find: "", notebook: undefined, asTable: false, isOpen: false };
}

/** The notebook that is shown has fewer students than this share of the fullest: it was left. */
const LEFT = 1 / 2;

/**
 * The notebook to show: the one that was chosen, or else the one that is shown, until most students
 * are in another one.
 *
 * @param {Map<string | null, number>} counts the students of each notebook, the fullest first
 * @param {string | null | undefined} chosen
 * @param {string | null | undefined} shown
 */
export function notebookToShow(counts, chosen, shown) {
  if (chosen !== undefined && counts.has(chosen)) return chosen;
  const [[fullest, most] = [undefined, 0]] = counts;
  const count = shown === undefined ? undefined : counts.get(shown);
  return count === undefined || count < most * LEFT ? fullest : shown;
}
