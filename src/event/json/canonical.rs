//! Serialises a valid JSON value once more, in the form in which the relay stores and delivers it.

use std::borrow::Cow;
use std::collections::HashMap;

use super::number::is_beyond_double;
use super::scanner::Scanner;
use super::string::{decode, replace_nul, write_string};

/// The deepest nesting inside an event's fields. Known clients nest two levels.
pub(crate) const MAX_DEPTH: usize = 64;

/// The value is nested deeper than [`MAX_DEPTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooDeep;

/// Appends a valid value to `out` in canonical form: no white space; of a key that occurs twice,
/// the last member; U+FFFD for lone surrogates and U+0000 in keys and strings; numbers as they were
/// written, but `null` for one that no double holds.
///
/// # Errors
/// If the value is nested too deep. `out` is then left incomplete.
pub(crate) fn canonical(value: &str, out: &mut String) -> Result<(), TooDeep> {
    write_value(&mut Scanner::new(value), MAX_DEPTH, out)
}

/// Writes the next value, in which at most `depth` levels may be nested.
fn write_value(scanner: &mut Scanner<'_>, depth: usize, out: &mut String) -> Result<(), TooDeep> {
    match scanner.peek() {
        b'"' => write_string(&decode(scanner.string()), out),
        b'[' => {
            let deeper = depth.checked_sub(1).ok_or(TooDeep)?;
            scanner.eat(b'[');
            out.push('[');
            if !scanner.eat(b']') {
                loop {
                    write_value(scanner, deeper, out)?;
                    if !scanner.eat(b',') {
                        break;
                    }
                    out.push(',');
                }
                scanner.eat(b']');
            }
            out.push(']');
        }
        b'{' => {
            let deeper = depth.checked_sub(1).ok_or(TooDeep)?;
            scanner.eat(b'{');
            let mut members = Members::new(out);
            if !scanner.eat(b'}') {
                loop {
                    scanner.peek();
                    let key = replace_nul(decode(scanner.string()));
                    scanner.eat(b':');
                    members.add(key, |out| write_value(scanner, deeper, out))?;
                    if !scanner.eat(b',') {
                        break;
                    }
                }
                scanner.eat(b'}');
            }
            members.finish();
        }
        _ => {
            let scalar = scanner.scalar();
            out.push_str(if is_beyond_double(scalar) { "null" } else { scalar });
        }
    }
    Ok(())
}

/// Writes the members of an object. A member whose key occurs again is replaced by the later one.
struct Members<'a, 'o> {
    out: &'o mut String,
    start: usize,
    /// The range in `out` of each key's latest member.
    ranges: HashMap<Cow<'a, str>, (usize, usize)>,
    /// Whether any key occurred twice.
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
        // Close to the bound, every number that is kept can be read by serde_json.
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
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(written(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
        assert_eq!(canonical(&nested(MAX_DEPTH + 1), &mut String::new()), Err(TooDeep));
    }
}
