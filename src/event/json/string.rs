//! JSON strings: decoding and writing.

use std::borrow::Cow;

/// The text of a valid JSON string, which is given with its quotes. A lone surrogate becomes
/// U+FFFD; U+0000 is kept.
pub(crate) fn decode(quoted: &str) -> Cow<'_, str> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or("");
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or("");
        text.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (decoded, after) = code_point(rest);
                rest = after;
                decoded
            }
            other => char::from(other),
        });
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Replaces U+0000 in a decoded key by U+FFFD, as [`write_string`] does, so that two keys that are
/// written the same are also compared as the same. U+0000 can only come from an escape, so a
/// borrowed key has none.
pub(super) fn replace_nul(key: Cow<'_, str>) -> Cow<'_, str> {
    match key {
        Cow::Owned(key) if key.contains('\0') => Cow::Owned(key.replace('\0', "\u{fffd}")),
        key => key,
    }
}

/// The code point whose hexadecimal digits begin `rest`, and the text after it.
fn code_point(rest: &str) -> (char, &str) {
    let unit = |text: &str| text.get(..4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let Some(first) = unit(rest) else { return (char::REPLACEMENT_CHARACTER, "") };
    let rest = &rest[4..];
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = rest.strip_prefix("\\u").and_then(unit)
        && (0xdc00..0xe000).contains(&second)
    {
        let combined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(combined).unwrap_or(char::REPLACEMENT_CHARACTER), &rest[6..]);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

/// The number of bytes before the first quote, backslash or control character. It compares eight
/// bytes at a time, which halves the work of writing a body.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = ONES << 7;
    let (eights, rest) = bytes.as_chunks::<8>();
    for (index, eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(*eight);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        // In each term the lowest high bit that is set belongs to the first byte that is 0 (or
        // below 0x20 in the third).
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if found & HIGH_BITS != 0 {
            return index * 8 + (found & HIGH_BITS).trailing_zeros() as usize / 8;
        }
    }
    let special = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    eights.len() * 8 + special.unwrap_or(rest.len())
}

/// The number of bytes that [`write_string`] appends for `text`.
pub(crate) fn string_len(text: &str) -> usize {
    let more = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
        0 => 2,
        1..0x20 => 5,
        _ => 0,
    };
    text.len() + 2 + text.bytes().map(more).sum::<usize>()
}

/// Appends `text` as a JSON string. U+0000 becomes U+FFFD, since PostgreSQL cannot store it.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let bytes = text.as_bytes();
    let (mut from, mut at) = (0, plain(bytes));
    while let Some(&byte) = bytes.get(at) {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0 => "\u{fffd}",
            _ => "",
        };
        out.push_str(&text[from..at]);
        from = at + 1;
        at = from + plain(&bytes[from..]);
        if escape.is_empty() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.push_str("\\u00");
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[from..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ends_at_the_first_special_byte() {
        for special in (0..=255_u8).filter(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            for length in 0..20 {
                for filler in [b'a', b'!', b'#', b'[', b']', 0x20, 0x7f, 0x80, 0xa2, 0xff] {
                    let mut bytes = vec![filler; length];
                    assert_eq!(plain(&bytes), length);
                    bytes.extend([special, filler, b'"', filler]);
                    assert_eq!(plain(&bytes), length, "{special} behind {length} times {filler}");
                }
            }
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        let text = "\u{1b}[0;31m\"\\\u{7f}é\n";
        let mut out = String::new();
        write_string(text, &mut out);
        assert_eq!(serde_json::from_str::<String>(&out).expect("valid"), text);
        let text = "\0\u{1}\u{1f}\u{1b}\"\\\r\n\té漢x";
        let mut out = String::new();
        write_string(text, &mut out);
        assert_eq!(string_len(text), out.len());
    }
}
