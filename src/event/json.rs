//! A reader over JSON text that is known to be valid: PostgreSQL's or serde_json's parser has been
//! over it.
//!
//! It exists for two things that serde_json's values cannot give. Browsers send lone surrogates
//! (`"\ud83d"`), which are an error there; here they become U+FFFD, as U+0000 does, which
//! PostgreSQL cannot hold. And what the relay does not know passes through exactly: numbers keep
//! their text, however long.

use std::borrow::Cow;
use std::collections::HashMap;

/// Deepest nesting inside an event's fields. Known clients nest two levels.
pub const MAX_DEPTH: usize = 64;

/// Nested deeper than [`MAX_DEPTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooDeep;

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is not white space; 0 at the end.
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Passes over `byte` if it comes next.
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    /// A string with its quotes, at its opening one.
    fn string(&mut self) -> &'a str {
        let bytes = self.text.as_bytes();
        let start = self.at;
        self.at += 1;
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    break;
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at = self.at.min(bytes.len());
        &self.text[start..self.at]
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) -> &'a str {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let len = rest
            .iter()
            .position(|b| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'));
        self.at = start + len.unwrap_or(rest.len());
        &self.text[start..self.at]
    }

    /// Any value's text, passed over without recursion.
    fn value(&mut self) -> &'a str {
        match self.peek() {
            b'"' => return self.string(),
            b'{' | b'[' => {}
            _ => return self.scalar(),
        }
        let start = self.at;
        let mut depth = 0usize;
        while let Some(&byte) = self.text.as_bytes().get(self.at) {
            match byte {
                b'"' => {
                    self.string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                break;
            }
        }
        &self.text[start..self.at]
    }

    fn canonical(&mut self, depth: usize, out: &mut String) -> Result<(), TooDeep> {
        match self.peek() {
            b'"' => write_string(&decode(self.string()), out),
            b'[' => {
                let deeper = depth.checked_sub(1).ok_or(TooDeep)?;
                self.at += 1;
                out.push('[');
                if !self.eat(b']') {
                    loop {
                        self.canonical(deeper, out)?;
                        if !self.eat(b',') {
                            break;
                        }
                        out.push(',');
                    }
                    self.eat(b']');
                }
                out.push(']');
            }
            b'{' => {
                let deeper = depth.checked_sub(1).ok_or(TooDeep)?;
                self.at += 1;
                let mut members = Members::new(out);
                if !self.eat(b'}') {
                    loop {
                        self.peek();
                        let key = replace_nul(decode(self.string()));
                        self.eat(b':');
                        members.add(key, |out| self.canonical(deeper, out))?;
                        if !self.eat(b',') {
                            break;
                        }
                    }
                    self.eat(b'}');
                }
                members.finish();
            }
            _ => {
                let scalar = self.scalar();
                out.push_str(if is_beyond_double(scalar) { "null" } else { scalar });
            }
        }
        Ok(())
    }
}

/// The members of an object as they are written; a key that comes again replaces the one before.
struct Members<'a, 'o> {
    out: &'o mut String,
    start: usize,
    /// Key to the range in `out`, and whether any key came twice.
    ranges: HashMap<Cow<'a, str>, (usize, usize)>,
    repeated: bool,
}

impl<'a, 'o> Members<'a, 'o> {
    fn new(out: &'o mut String) -> Self {
        let start = out.len();
        out.push('{');
        Self { out, start, ranges: HashMap::new(), repeated: false }
    }

    fn add(
        &mut self,
        key: Cow<'a, str>,
        value: impl FnOnce(&mut String) -> Result<(), TooDeep>,
    ) -> Result<(), TooDeep> {
        if !self.ranges.is_empty() {
            self.out.push(',');
        }
        let from = self.out.len();
        write_string(&key, self.out);
        self.out.push(':');
        value(self.out)?;
        self.repeated |= self.ranges.insert(key, (from, self.out.len())).is_some();
        Ok(())
    }

    fn finish(self) {
        if self.repeated {
            let mut ranges: Vec<_> = self.ranges.into_values().collect();
            ranges.sort_unstable();
            let kept: Vec<&str> = ranges.iter().map(|&(from, to)| &self.out[from..to]).collect();
            let kept = kept.join(",");
            self.out.truncate(self.start + 1);
            self.out.push_str(&kept);
        }
        self.out.push('}');
    }
}

/// The elements' texts of a valid array; none for anything else.
pub fn elements(array: &str) -> impl Iterator<Item = &str> {
    let mut reader = Reader::new(array);
    let mut more = reader.eat(b'[') && reader.peek() != b']';
    std::iter::from_fn(move || {
        if !more {
            return None;
        }
        let value = reader.value();
        more = reader.eat(b',');
        Some(value)
    })
}

/// The members of a valid object, keys decoded, values as text, repeated keys too; none for
/// anything else.
pub fn members(object: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let mut reader = Reader::new(object);
    let mut more = reader.eat(b'{') && reader.peek() != b'}';
    std::iter::from_fn(move || {
        if !more {
            return None;
        }
        reader.peek();
        let key = replace_nul(decode(reader.string()));
        reader.eat(b':');
        let value = reader.value();
        more = reader.eat(b',');
        Some((key, value))
    })
}

/// Writes a valid value again: white space gone, repeated keys collapsed to the last, lone
/// surrogates and U+0000 replaced in keys and strings, numbers untouched. `out` is left incomplete
/// when it fails.
pub fn canonical(value: &str, out: &mut String) -> Result<(), TooDeep> {
    Reader::new(value).canonical(MAX_DEPTH, out)
}

/// Whether a valid value is a number that no double holds, such as `1e999`.
pub fn is_beyond_double(value: &str) -> bool {
    /// A number of fewer digits than this, without an exponent, is below the largest double,
    /// 1.8e308.
    const FEW_DIGITS: usize = 300;
    let bytes = value.as_bytes();
    matches!(bytes.first(), Some(b'-' | b'0'..=b'9'))
        && (bytes.len() > FEW_DIGITS || bytes.iter().any(|byte| matches!(byte, b'e' | b'E')))
        // Both must hold it: close to the bound serde_json rounds otherwise than the standard
        // library.
        && (!value.parse().is_ok_and(f64::is_finite) || serde_json::from_str::<f64>(value).is_err())
}

/// The text with `null` in place of `NaN`, `Infinity` and `-Infinity`, which Python's `json` writes
/// for floats that JSON has no number for. `None` if there are none. What else is wrong with the
/// text stays so: a `null` beside anything but a delimiter is no JSON either.
pub fn without_nan(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut reader = Reader::new(text);
    let (mut out, mut from) = (String::new(), 0);
    while let Some(&byte) = bytes.get(reader.at) {
        let word: &[u8] = match byte {
            b'"' => {
                reader.string();
                continue;
            }
            b'N' => b"NaN",
            b'I' => b"Infinity",
            b'-' => b"-Infinity",
            _ => {
                reader.at += 1;
                continue;
            }
        };
        if bytes[reader.at..].starts_with(word) {
            out.push_str(&text[from..reader.at]);
            out.push_str("null");
            from = reader.at + word.len();
            reader.at = from;
        } else {
            reader.at += 1;
        }
    }
    if from == 0 {
        return None;
    }
    out.push_str(&text[from..]);
    Some(out)
}

/// A number of 64 bits that is the same for the same text in every release (FNV-1a), so that
/// replicas agree.
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The text of a valid JSON string, given with its quotes. A lone surrogate is U+FFFD; U+0000 is
/// still there.
pub fn decode(quoted: &str) -> Cow<'_, str> {
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

/// Two keys are the same when they are written the same, and U+0000 is written as U+FFFD. It can
/// only come of an escape.
fn replace_nul(key: Cow<'_, str>) -> Cow<'_, str> {
    match key {
        Cow::Owned(key) if key.contains('\0') => Cow::Owned(key.replace('\0', "\u{fffd}")),
        key => key,
    }
}

/// The code point behind `\u`, and what follows it.
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

/// How many bytes there are before the first quote, backslash or control character. Eight are
/// looked at at a time, which halves the work of writing a body.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = ONES << 7;
    let (eights, rest) = bytes.as_chunks::<8>();
    for (index, eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(*eight);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        // The lowest bit that is set in each term belongs to the first byte that is 0, or below
        // 0x20.
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

/// The length of what [`write_string`] writes.
pub fn string_len(text: &str) -> usize {
    let more = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
        0 => 2,
        1..0x20 => 5,
        _ => 0,
    };
    text.len() + 2 + text.bytes().map(more).sum::<usize>()
}

/// Writes `text` as a JSON string; U+0000 becomes U+FFFD.
pub fn write_string(text: &str, out: &mut String) {
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

    fn written(value: &str) -> String {
        let mut out = String::new();
        canonical(value, &mut out).expect("not deep");
        out
    }

    #[test]
    fn surrogates_pair_or_are_replaced() {
        assert_eq!(written(r#""\ud83d\ude00""#), "\"😀\"");
        assert_eq!(written(r#""\ud83d""#), "\"\u{fffd}\"");
        assert_eq!(written(r#""\ude00\ud83d\n""#), "\"\u{fffd}\u{fffd}\\n\"");
        assert_eq!(written(r#""\ud83d\u0041""#), "\"\u{fffd}A\"");
        assert_eq!(written(r#"{"a\u0000":["\u0000"]}"#), "{\"a\u{fffd}\":[\"\u{fffd}\"]}");
    }

    #[test]
    fn repeated_keys_collapse_to_the_last() {
        assert_eq!(written(r#"{"a":1, "b":2, "a":{"c":3,"c":4}}"#), r#"{"b":2,"a":{"c":4}}"#);
        assert_eq!(written(r#"{"a":1,"\u0061":2}"#), r#"{"a":2}"#);
    }

    #[test]
    fn numbers_keep_their_text() {
        assert_eq!(
            written("[1.50E2, -0.0,123456789012345678901234567890 ,1e-999]"),
            "[1.50E2,-0.0,123456789012345678901234567890,1e-999]"
        );
    }

    #[test]
    fn a_number_that_no_double_holds_is_null() {
        let long = "9".repeat(400);
        for value in ["1e999", "-1E+400", "1.8e308", "17976931348623159e292", &long] {
            assert_eq!(
                written(&format!("[{value},{{\"a\":{value}}}]")),
                "[null,{\"a\":null}]",
                "{value}"
            );
        }
        for value in ["1e308", "-1.7e308", &"9".repeat(300), &format!("0.{long}")] {
            assert_eq!(written(value), value);
        }
        // Whatever is close to the bound, what is left can be read.
        for digits in 1_797_693_134_862_310_u64..1_797_693_134_862_320 {
            for tail in ["", "5", "7", "58", "7e-1"] {
                let value =
                    format!("{}.{}{tail}", &digits.to_string()[..1], &digits.to_string()[1..]);
                let value =
                    if tail.contains('e') { format!("{value}8") } else { format!("{value}e308") };
                serde_json::from_str::<serde_json::Value>(&written(&value)).expect(&value);
            }
        }
    }

    #[test]
    fn python_floats_are_found_outside_of_strings() {
        for (text, mended) in [
            ("[NaN,-Infinity , Infinity]", "[null,null , null]"),
            (
                r#"{"a":NaN,"NaN":"Infinity \"NaN","b":["-Infinity"]}"#,
                r#"{"a":null,"NaN":"Infinity \"NaN","b":["-Infinity"]}"#,
            ),
            ("NaN", "null"),
            ("-NaN", "-null"),
            ("1NaN", "1null"),
        ] {
            assert_eq!(without_nan(text).as_deref(), Some(mended), "{text}");
        }
        for text in
            ["", "[]", "[nan]", "[Inf]", "[-Inf]", "\"NaN", "[1,-2]", r#"{"NaN":1}"#, "\"\\"]
        {
            assert_eq!(without_nan(text), None, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(written(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
        assert_eq!(canonical(&nested(MAX_DEPTH + 1), &mut String::new()), Err(TooDeep));
    }

    #[test]
    fn parts_are_found() {
        let parts: Vec<_> =
            members(r#" { "a" : [1, "]"] , "b\"" : {"c":"}"} , "d":null } "#).collect();
        assert_eq!(
            parts,
            [("a".into(), r#"[1, "]"]"#), ("b\"".into(), r#"{"c":"}"}"#), ("d".into(), "null")]
        );
        assert_eq!(elements(" [ 1 ,{}, \"a,b\" ] ").collect::<Vec<_>>(), ["1", "{}", "\"a,b\""]);
        assert_eq!(elements("[]").count(), 0);
        assert_eq!(members("{ }").count(), 0);
    }

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
