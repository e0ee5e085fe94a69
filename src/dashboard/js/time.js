// Moments as the relay counts them: microseconds since 1970. A JavaScript number holds them exactly
// beyond the year 2200.

export const SECOND = 1_000_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;

/** The years that a client's clock may show: 2000 to 2100. */
const YEAR_2000 = Date.UTC(2000, 0) * 1000;
const YEAR_2101 = Date.UTC(2101, 0) * 1000;
/** The years that the database's clock may show: 1900 to 2199. */
const YEAR_1900 = Date.UTC(1900, 0) * 1000;
const END_OF_2199 = Date.UTC(2200, 0) * 1000 - 1;
/** `Date.UTC` takes a smaller year for one of the twentieth century. */
const FIRST_YEAR = 100;

const DATE = /(\d{4})-(\d{2})-(\d{2})/;
const CLOCK = /(\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?/;
const ZONE = /(?:[Zz]|([+-])(\d{2}):(\d{2}))/;
const RFC3339 = new RegExp(`^${DATE.source}[Tt]${CLOCK.source}${ZONE.source}$`);

/**
 * Parses an RFC 3339 time; digits below a microsecond are cut off. Returns `null` for anything
 * else, and for a year before 100: a day must exist, and a leap second is no time.
 *
 * @param {unknown} text
 * @returns {number | null}
 */
export function parseTime(text) {
  if (typeof text !== "string") return null;
  const match = RFC3339.exec(text);
  if (!match) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  if (year < FIRST_YEAR || hour > 23 || minute > 59 || second > 59) return null;
  const millis = Date.UTC(year, month - 1, day, hour, minute, second);
  const date = new Date(millis);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null;
  const fraction = match[7] === undefined ? 0 : Number(match[7].slice(0, 6).padEnd(6, "0"));
  let offset = 0;
  if (match[8] !== undefined) {
    const [hours, minutes] = [Number(match[9]), Number(match[10])];
    if (hours > 23 || minutes > 59) return null;
    offset = (match[8] === "+" ? 1 : -1) * (hours * 60 + minutes) * MINUTE;
  }
  return millis * 1000 + fraction - offset;
}

/**
 * Parses a time that a client wrote; `null` if it is no time or no plausible one.
 *
 * @param {unknown} text
 */
export function parseClientTime(text) {
  const micros = parseTime(text);
  return micros !== null && micros >= YEAR_2000 && micros < YEAR_2101 ? micros : null;
}

/**
 * Parses a time of the database's clock. An implausible one is of a row that was made by hand: it
 * is moved to the nearest bound.
 *
 * @param {unknown} text
 */
export function parseReceived(text) {
  return Math.min(Math.max(parseTime(text) ?? -Infinity, YEAR_1900), END_OF_2199);
}

/**
 * Writes a moment as the relay does: in UTC, with six digits below the second.
 *
 * @param {number} micros
 */
export function formatTime(micros) {
  const millis = Math.floor(micros / 1000);
  const below = String(micros - millis * 1000).padStart(3, "0");
  return `${new Date(millis).toISOString().slice(0, -1)}${below}Z`;
}
