// How the fold reads a field of an event: it is usable, or it is absent (`null`). The relay reads
// fields by the same rules, in Rust.

/** The longest name, path or id, in bytes of UTF-8. */
const MAX_TEXT_BYTES = 1024;

const encoder = new TextEncoder();

/**
 * Replaces what UTF-8 or PostgreSQL cannot hold by U+FFFD, as the relay does: a surrogate without
 * its other half, and NUL.
 *
 * @param {string} value
 */
export function wellFormed(value) {
  const text = value.replace(/\p{Surrogate}/gu, "\ufffd");
  return text.includes("\0") ? text.replaceAll("\0", "\ufffd") : text;
}

/**
 * @param {unknown} value
 * @param {number} [most] the longest text, in bytes
 */
export function text(value, most = MAX_TEXT_BYTES) {
  if (typeof value !== "string" || value === "") return null;
  const text = wellFormed(value);
  // A UTF-16 unit takes at most three bytes: only a long text has to be encoded to be measured.
  if (text.length * 3 > most && encoder.encode(text).length > most) return null;
  return text;
}

/** @param {unknown} value */
export function integer(value) {
  // Adding zero turns minus zero into zero.
  return Number.isSafeInteger(value) ? Number(value) + 0 : null;
}

/**
 * Compares texts by code point. The relay compares the bytes of UTF-8, which gives the same order.
 *
 * @param {string} a
 * @param {string} b
 */
export function compareTexts(a, b) {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/**
 * Surrogates stand for the code points above all those that take one unit.
 *
 * @param {number} unit
 */
function rank(unit) {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
