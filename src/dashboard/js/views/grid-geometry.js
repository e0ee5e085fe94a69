// Where the rows and columns of the grid are on its canvas, in CSS pixels. The canvas is as large
// as what is in sight; the scrolled area below it is as large as the whole grid.

/** The least height of a row that has a name. */
const NAMED_HEIGHT = 12;
/** The sizes below are in rem. */
const HEAD = 1.75;
/** A head with a heading above the number, and a progress below it. */
const HEAD_PLANNED = 5;
const ROW = 1.5;
/** A row in which what the student has done stands below the name. */
const ROW_STACKED = 2.25;
/** Names have 12 em of their type, also on a phone: they are what is looked for. */
const NAME = 12;
/** A grid that is narrower than this, in rem, has no room beside a name. */
const NARROW = 32;
/** Room beside a name for what the student has done. */
const DONE = 3.75;
const LEAST_COLUMN = 1.1;
const MOST_COLUMN = 3.5;
const MOST_COLUMN_OVERVIEW = 4.5;

export class Geometry {
  #scrolled;

  /**
   * @param {HTMLElement} scrolled the scrolled area
   * @param {number} rows
   * @param {number} columns
   * @param {{ overview: boolean, isPlanned: boolean }} look whether all rows are to be in sight at
   *   once, and whether the columns are those of an outline
   */
  constructor(scrolled, rows, columns, { overview, isPlanned }) {
    this.#scrolled = scrolled;
    this.rows = rows;
    this.columns = columns;
    this.width = scrolled.clientWidth;
    this.height = scrolled.clientHeight;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.rem = rem;
    /** Height of the columns' heads. */
    this.isPlanned = isPlanned;
    this.head = (isPlanned ? HEAD_PLANNED : HEAD) * rem;
    const fit = (this.height - this.head) / Math.max(1, rows);
    /** Whether what a student has done stands below the name. */
    this.isStacked = isPlanned && !overview && this.width < NARROW * rem;
    const row = (this.isStacked ? ROW_STACKED : ROW) * rem;
    this.row = overview ? Math.max(1, Math.min(row, fit)) : row;
    this.isNamed = this.row >= NAMED_HEIGHT;
    this.done = isPlanned && this.isNamed && !this.isStacked ? DONE * rem : 0;
    /** Width of the names. */
    this.gutter = this.isNamed ? NAME * rem + this.done : ROW * rem;
    const most = (overview ? MOST_COLUMN_OVERVIEW : MOST_COLUMN) * rem;
    const share = (this.width - this.gutter - 0.5 * rem) / Math.max(1, columns);
    this.column = Math.max(LEAST_COLUMN * rem, Math.min(most, share));
  }

  /** Width of the whole grid. */
  get totalWidth() {
    return this.gutter + this.column * this.columns + 0.5 * this.rem;
  }

  /** Height of the whole grid. */
  get totalHeight() {
    return this.head + this.row * this.rows;
  }

  /** Whether there are columns to the left of those in sight. */
  get isScrolled() {
    return this.#scrolled.scrollLeft > 0;
  }

  /** Whether there are columns to the right of those in sight. */
  get hasMore() {
    return this.#scrolled.scrollLeft + this.width < this.totalWidth - this.rem;
  }

  /** The indices of the rows in sight, from the first to below the second. */
  get rowsInSight() {
    const { scrollTop } = this.#scrolled;
    const end = Math.ceil((scrollTop + this.height - this.head) / this.row);
    return [Math.max(0, Math.floor(scrollTop / this.row)), Math.min(this.rows, end)];
  }

  /** The indices of the columns in sight. */
  get columnsInSight() {
    const { scrollLeft } = this.#scrolled;
    const end = Math.ceil((scrollLeft + this.width - this.gutter) / this.column);
    return [Math.max(0, Math.floor(scrollLeft / this.column)), Math.min(this.columns, end)];
  }

  /**
   * Top and height of a row, in whole pixels: otherwise a thousand rows would show seams.
   *
   * @param {number} index
   */
  rowSpan(index) {
    const top = Math.round(index * this.row) - Math.round(this.#scrolled.scrollTop);
    const height = Math.round((index + 1) * this.row) - Math.round(index * this.row);
    return [this.head + top, height];
  }

  /**
   * The left edge of a column.
   *
   * @param {number} index
   */
  columnLeft(index) {
    return this.gutter + index * this.column - this.#scrolled.scrollLeft;
  }

  /**
   * The row and column at a point of the canvas. The column is `null` beside the cells, the row at
   * a column's head; all is `null` where there is neither.
   *
   * @param {number} x
   * @param {number} y
   * @returns {{ row: number | null, column: number | null } | null}
   */
  at(x, y) {
    if (y < this.head) {
      const column = Math.floor((x - this.gutter + this.#scrolled.scrollLeft) / this.column);
      return x >= this.gutter && column < this.columns ? { row: null, column } : null;
    }
    const row = Math.floor((y - this.head + this.#scrolled.scrollTop) / this.row);
    if (row < 0 || row >= this.rows) return null;
    if (x < this.gutter) return { row, column: null };
    const column = Math.floor((x - this.gutter + this.#scrolled.scrollLeft) / this.column);
    return { row, column: column < this.columns ? column : null };
  }

  /** The rows that a page of the keyboard's Page keys has. */
  get rowsOfPage() {
    return Math.max(1, Math.floor((this.height - this.head) / this.row) - 1);
  }

  /**
   * Scrolls a cell into sight.
   *
   * @param {{ row: number, column: number }} cell
   */
  reveal({ row, column }) {
    const [top, left] = [row * this.row, column * this.column];
    const [down, across] = [this.height - this.head, this.width - this.gutter];
    const scrolled = this.#scrolled;
    scrolled.scrollTop = Math.min(top, Math.max(scrolled.scrollTop, top + this.row - down));
    scrolled.scrollLeft = Math.min(
      left,
      Math.max(scrolled.scrollLeft, left + this.column - across),
    );
  }
}
