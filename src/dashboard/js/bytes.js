// The text of a file that somebody made with some program on some system.

/** As many bytes are looked at to tell UTF-16 from one-byte encodings. */
const SAMPLE = 1024;

/**
 * What a file's bytes say. `null` if they are in no encoding that is known here: UTF-8 or UTF-16,
 * with or without a mark at the beginning, or Shift_JIS, in which Excel saves CSV in Japan.
 *
 * @param {Uint8Array} bytes
 */
export function decodeText(bytes) {
  const encodings = utf16(bytes) ?? ["utf-8", "shift_jis"];
  for (const encoding of encodings) {
    try {
      // A decoder drops the mark at the beginning.
      return new TextDecoder(encoding, { fatal: true }).decode(bytes);
    } catch {
      // Not in this encoding, or this browser does not know it.
    }
  }
  return null;
}

/**
 * The kind of UTF-16, if it is that.
 *
 * @param {Uint8Array} bytes
 */
function utf16(bytes) {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return ["utf-16le"];
  if (first === 0xfe && second === 0xff) return ["utf-16be"];
  // Without a mark: every second byte of what is mostly ASCII is zero.
  const zeros = [0, 0];
  const length = Math.min(bytes.length, SAMPLE);
  for (let at = 0; at < length; at += 1) if (bytes[at] === 0) zeros[at % 2] += 1;
  if (zeros[1] > length / 8 && zeros[0] === 0) return ["utf-16le"];
  if (zeros[0] > length / 8 && zeros[1] === 0) return ["utf-16be"];
  return null;
}
