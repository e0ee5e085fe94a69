// A roster from a file of CSV: who is expected, what they are called, and their teams.

import { decodeText } from "./bytes.js";
import { readCsv } from "./csv.js";
import { wellFormed } from "./fields.js";

/** The largest file, in bytes. */
export const MAX_FILE = 5 * 1024 * 1024;
/** The most students: as many as the relay takes. */
const MAX_STUDENTS = 10_000;
/** The most errors that are told apart; the others are counted. */
const MAX_ERRORS = 20;
/** The longest id, and the longest name or team, in bytes, as the relay takes them. */
const MAX_ID = 200;
const MAX_NAME = 1024;

/** @typedef {{ id: string, name?: string, team?: string }} RosterEntry */
/** @typedef {"id" | "name" | "team"} Column */

/**
 * What is wrong: with the file, or with a line of it. `other`: the line that says the same.
 *
 * @typedef {"size" | "encoding" | "notText" | "unreadable" | "several" | "empty" | "noId"
 *   | "tooMany" | "quote" | "missingId" | "longId" | "badText" | "longText" | "twice"} RosterFault
 * @typedef {{ fault: RosterFault, line: number | null, other?: number }} RosterError
 */

/**
 * @typedef {object} ReadRoster
 * @property {RosterEntry[]} entries
 * @property {number} named how many have a name
 * @property {number} teams how many teams there are
 * @property {boolean} hasHeader whether the first line names the columns
 * @property {RosterError[]} errors
 * @property {number} moreErrors those that are not in `errors`
 */

/**
 * What columns are called, without blanks and signs, in small letters; what comes first is taken.
 *
 * @type {Record<Column, string[]>}
 */
const NAMES = {
  id: [
    "studentid",
    "id",
    "userid",
    "学籍番号",
    "学生番号",
    "受講者id",
    "学生id",
    "ユーザーid",
    "ユーザid",
    "emailaddress",
    "email",
    "mail",
    "メールアドレス",
    "メール",
    "番号",
  ],
  name: [
    "name",
    "fullname",
    "displayname",
    "studentname",
    "username",
    "student",
    "氏名",
    "名前",
    "お名前",
    "学生氏名",
    "学生名",
    "受講者名",
    "ユーザー名",
  ],
  team: [
    "team",
    "teamname",
    "group",
    "groupname",
    "section",
    "チーム",
    "チーム名",
    "グループ",
    "グループ名",
    "班",
    "組",
  ],
};
const COLUMNS = /** @type {Column[]} */ (Object.keys(NAMES));

const encoder = new TextEncoder();

/**
 * @param {Uint8Array} bytes of the file
 * @returns {ReadRoster}
 */
export function readRosterFile(bytes) {
  if (bytes.length > MAX_FILE) return wrongRoster("size");
  const text = decodeText(bytes);
  return text === null ? wrongRoster("encoding") : readRosterText(text);
}

/**
 * @param {string} text
 * @returns {ReadRoster}
 */
export function readRosterText(text) {
  if (!isTable(text)) return wrongRoster("notText");
  const { records, unclosed } = readCsv(text.replace(/^\ufeff/, ""), MAX_STUDENTS + 2);
  if (unclosed !== null) return wrongRoster("quote", unclosed);
  if (records.length === 0) return wrongRoster("empty");
  const header = headerOf(records[0].fields);
  const columns = header ?? { id: 0, name: 1, team: 2 };
  if (columns.id === undefined) return wrongRoster("noId", records[0].line);
  const rows = header === null ? records : records.slice(1);
  if (rows.length === 0) return wrongRoster("empty");
  if (rows.length > MAX_STUDENTS) return wrongRoster("tooMany");
  return { ...readRows(rows, columns), hasHeader: header !== null };
}

/** What no table holds, but a picture and a program do: zeros, and many characters that control. */
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const BINARY = /\0|(?:[\x01-\x08\x0e-\x1f\x7f][^\x01-\x08\x0e-\x1f\x7f]*){8}/;
/** How files begin that are text, or look like it, and no table. */
const FOREIGN = /^\s*(?:%PDF-|\{\\rtf|[{[<]|%!PS)/;

/**
 * Whether a text can be a table of any kind. Files are dropped by mistake.
 *
 * @param {string} text
 */
function isTable(text) {
  return !BINARY.test(text) && !FOREIGN.test(text);
}

/**
 * @param {import("./csv.js").CsvRecord[]} rows
 * @param {Partial<Record<Column, number>>} columns
 */
function readRows(rows, columns) {
  /** @type {Map<string, number>} */
  const lines = new Map();
  /** @type {RosterEntry[]} */
  const entries = [];
  /** @type {RosterError[]} */
  const errors = [];
  for (const { line, fields } of rows) {
    const [id, name, team] = COLUMNS.map((column) =>
      wellFormed(fields[columns[column] ?? -1] ?? ""),
    );
    const entry = { id: normalizedId(id), ...(name && { name }), ...(team && { team }) };
    const other = lines.get(entry.id);
    const fault = faultOf(entry) ?? (other === undefined ? null : "twice");
    if (fault !== null) {
      errors.push({ fault, line, other });
      continue;
    }
    lines.set(entry.id, line);
    entries.push(entry);
  }
  const shown = errors.slice(0, MAX_ERRORS);
  return {
    entries,
    named: entries.filter(({ name }) => name !== undefined).length,
    teams: new Set(entries.flatMap(({ team }) => team ?? [])).size,
    errors: shown,
    moreErrors: errors.length - shown.length,
  };
}

/**
 * @param {RosterEntry} entry
 * @returns {RosterFault | null}
 */
function faultOf({ id, name = "", team = "" }) {
  if (id === "") return "missingId";
  if (encoder.encode(id).length > MAX_ID) return "longId";
  if (/\p{Cc}/u.test(id)) return "badText";
  const longest = Math.max(...[name, team].map((text) => encoder.encode(text).length));
  return longest > MAX_NAME ? "longText" : null;
}

/**
 * An id as the relay stores it.
 *
 * @param {string} id
 */
function normalizedId(id) {
  const composed = id.trim().normalize("NFC");
  return composed.includes("@") ? composed.toLowerCase() : composed;
}

/**
 * Where the columns are, if the first line names any of them.
 *
 * @param {string[]} fields
 * @returns {Partial<Record<Column, number>> | null}
 */
function headerOf(fields) {
  const found = fields.map((field) =>
    field
      .normalize("NFKC")
      .toLowerCase()
      .replace(/[\s_.・-]/g, ""),
  );
  const places = COLUMNS.flatMap((column) => {
    const known = NAMES[column].find((name) => found.includes(name));
    return known === undefined ? [] : [[column, found.indexOf(known)]];
  });
  return places.length === 0 ? null : Object.fromEntries(places);
}

/**
 * What is read of a file that is no roster.
 *
 * @param {RosterFault} fault
 * @param {number | null} [line]
 * @returns {ReadRoster}
 */
export function wrongRoster(fault, line = null) {
  const errors = [{ fault, line }];
  return { entries: [], named: 0, teams: 0, hasHeader: false, errors, moreErrors: 0 };
}
