//! Finds the parts of a valid JSON text, as slices of the text.

use std::borrow::Cow;

use super::string::{decode, replace_nul};

/// A position in a JSON text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Skips white space and returns the next byte, 0 at the end.
    pub(super) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Skips `byte` if it comes next after white space; true if it did.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    /// Reads a string, whose opening quote is the next byte, with its quotes.
    pub(super) fn string(&mut self) -> &'a str {
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

    /// Reads a number, `true`, `false` or `null`.
    pub(super) fn scalar(&mut self) -> &'a str {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let len = rest
            .iter()
            .position(|b| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'));
        self.at = start + len.unwrap_or(rest.len());
        &self.text[start..self.at]
    }

    /// Reads any value. It does not recurse, so that no nesting can exhaust the stack.
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
}

/// The texts of a valid array's elements; nothing for any other value.
pub(crate) fn elements(array: &str) -> impl Iterator<Item = &str> {
    let mut scanner = Scanner::new(array);
    let mut more = scanner.eat(b'[') && scanner.peek() != b']';
    std::iter::from_fn(move || {
        if !more {
            return None;
        }
        let value = scanner.value();
        more = scanner.eat(b',');
        Some(value)
    })
}

/// The members of a valid object: each key decoded, each value as its text. A key that occurs twice
/// comes twice. Nothing for any other value.
pub(crate) fn members(object: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let mut scanner = Scanner::new(object);
    let mut more = scanner.eat(b'{') && scanner.peek() != b'}';
    std::iter::from_fn(move || {
        if !more {
            return None;
        }
        scanner.peek();
        let key = replace_nul(decode(scanner.string()));
        scanner.eat(b':');
        let value = scanner.value();
        more = scanner.eat(b',');
        Some((key, value))
    })
}

/// Replaces `NaN`, `Infinity` and `-Infinity` outside of strings by `null`; `None` if there are
/// none. Python's `json` writes them for floats for which JSON has no number. A text with another
/// fault is still invalid afterwards, since a `null` beside anything but a delimiter is no JSON
/// either.
pub(crate) fn without_nan(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut scanner = Scanner::new(text);
    let (mut out, mut from) = (String::new(), 0);
    while let Some(&byte) = bytes.get(scanner.at) {
        let word: &[u8] = match byte {
            b'"' => {
                scanner.string();
                continue;
            }
            b'N' => b"NaN",
            b'I' => b"Infinity",
            b'-' => b"-Infinity",
            _ => {
                scanner.at += 1;
                continue;
            }
        };
        if bytes[scanner.at..].starts_with(word) {
            out.push_str(&text[from..scanner.at]);
            out.push_str("null");
            from = scanner.at + word.len();
            scanner.at = from;
        } else {
            scanner.at += 1;
        }
    }
    if from == 0 {
        return None;
    }
    out.push_str(&text[from..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn members_and_elements_are_found() {
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
}
