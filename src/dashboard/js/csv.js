// Reads CSV: fields with commas, semicolons or tabs between them, in quotes if need be.

const DELIMITERS = [",", ";", "\t"];

/** @typedef {{ line: number, fields: string[] }} CsvRecord */

/**
 * The records of a text that are not empty, each with the line on which it begins.
 *
 * @param {string} text
 * @param {number} most records; what follows is not read
 * @returns {{ records: CsvRecord[], unclosed: number | null }} `unclosed`: the line of a quote that
 *   nothing closes
 */
export function readCsv(text, most) {
  // Excel may name the delimiter in a line before the table.
  const [named, sign] = /^sep=(.)(?:\r\n|\r|\n)/i.exec(text) ?? ["", ""];
  const delimiter = sign || delimiterOf(text);
  /** @type {CsvRecord[]} */
  const records = [];
  let [line, at] = [named === "" ? 1 : 2, named.length];
  while (at < text.length && records.length < most) {
    const record = { line, fields: /** @type {string[]} */ ([]) };
    for (;;) {
      const field = readField(text, at, delimiter);
      if (field === null) return { records, unclosed: line };
      record.fields.push(field.value.trim());
      line += field.lines;
      at = field.end;
      if (text[at] !== delimiter) break;
      at += 1;
    }
    if (text[at] === "\r" && text[at + 1] === "\n") at += 1;
    at += 1;
    line += 1;
    if (record.fields.some((field) => field !== "")) records.push(record);
  }
  return { records, unclosed: null };
}

/**
 * Reads one field; `null` if its quote is not closed. What follows a closing quote belongs to the
 * field, as spreadsheets read it.
 *
 * @param {string} text
 * @param {number} from
 * @param {string} delimiter
 */
function readField(text, from, delimiter) {
  let [at, value, lines] = [from, "", 0];
  while (text[at] === " ") at += 1;
  if (text[at] === '"') {
    for (;;) {
      const close = text.indexOf('"', at + 1);
      if (close < 0) return null;
      value += text.slice(at + 1, close);
      at = close + 1;
      if (text[at] !== '"') break;
      value += '"';
    }
    lines = value.split(/\r\n|\r|\n/).length - 1;
  }
  let end = at;
  while (end < text.length && !(text[end] === delimiter || "\r\n".includes(text[end]))) end += 1;
  return { value: value + text.slice(at, end), end, lines };
}

/**
 * The delimiter that the first line has most of, outside of quotes.
 *
 * @param {string} text
 */
function delimiterOf(text) {
  const first = /[^\r\n]+/.exec(text)?.[0] ?? "";
  const bare = first.replace(/"[^"]*"?/g, "");
  const counts = DELIMITERS.map((delimiter) => bare.split(delimiter).length);
  return DELIMITERS[counts.indexOf(Math.max(...counts))];
}
