//! A reader over JSON text that is known to be valid: PostgreSQL's or serde_json's parser has been over it.
//!
//! It exists for two things that serde_json's values cannot give. Browsers send lone surrogates (`"\ud83d"`),
//! which are an error there; here they become U+FFFD, as U+0000 does, which PostgreSQL cannot hold. And what the
//! relay does not know passes through exactly: numbers keep their text, however long.

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
        let len = rest.iter().position(|b| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'));
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
            _ => out.push_str(self.scalar()),
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

/// The members of a valid object, keys decoded, values as text, repeated keys too; none for anything else.
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

/// Writes a valid value again: white space gone, repeated keys collapsed to the last, lone surrogates and U+0000
/// replaced in keys and strings, numbers untouched. `out` is left incomplete when it fails.
pub fn canonical(value: &str, out: &mut String) -> Result<(), TooDeep> {
    Reader::new(value).canonical(MAX_DEPTH, out)
}

/// The text of a valid JSON string, given with its quotes. A lone surrogate is U+FFFD; U+0000 is still there.
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

/// Two keys are the same when they are written the same, and U+0000 is written as U+FFFD.
fn replace_nul(key: Cow<'_, str>) -> Cow<'_, str> {
    if key.contains('\0') { Cow::Owned(key.replace('\0', "\u{fffd}")) } else { key }
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
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0 => "\u{fffd}",
            1..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[from..at]);
        from = at + 1;
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
            written("[1e999, -0.0,123456789012345678901234567890 ]"),
            "[1e999,-0.0,123456789012345678901234567890]"
        );
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(written(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
        assert_eq!(canonical(&nested(MAX_DEPTH + 1), &mut String::new()), Err(TooDeep));
    }

    #[test]
    fn parts_are_found() {
        let parts: Vec<_> = members(r#" { "a" : [1, "]"] , "b\"" : {"c":"}"} , "d":null } "#).collect();
        assert_eq!(
            parts,
            [("a".into(), r#"[1, "]"]"#), ("b\"".into(), r#"{"c":"}"}"#), ("d".into(), "null")]
        );
        assert_eq!(elements(" [ 1 ,{}, \"a,b\" ] ").collect::<Vec<_>>(), ["1", "{}", "\"a,b\""]);
        assert_eq!(elements("[]").count(), 0);
        assert_eq!(members("{ }").count(), 0);
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
