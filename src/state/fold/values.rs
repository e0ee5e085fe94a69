//! Which values of an event's members are usable.
//!
//! The relay's ingest has checked its own events, but anyone may insert others with SQL. The
//! dashboard's fold looks at the delivered JSON in the same way, so every rule here is one that
//! both can follow. A text is absent when it is empty, longer than [`MAX_TEXT_BYTES`] or not a
//! string; a number when it is not an integer that JavaScript holds exactly.
//!
//! Times are read by hand, not by the `time` crate: the dashboard has the same reader, and the
//! library's set of accepted texts (leap seconds, for one) is another.

use std::borrow::Cow;

use crate::event::{Micros, json, parse_rfc3339};

/// Longest name, path or id in bytes: the ingest's own bound.
pub(crate) const MAX_TEXT_BYTES: usize = 1024;
/// How much of an error's first line identifies the error, and how much of a student's words is
/// kept, in characters.
pub(crate) const MAX_MESSAGE_CHARS: usize = 200;
/// The largest integer that JavaScript holds exactly.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// The years that a client's clock may show: 2000-01-01 to the end of 2100.
const YEAR_2000: Micros = Micros(946_684_800_000_000);
const YEAR_2101: Micros = Micros(4_133_980_800_000_000);
/// The years that the database's clock may show: 1900-01-01 to the end of 2199. JavaScript holds
/// these microseconds exactly. Any other time is of a row that was made by hand.
const YEAR_1900: Micros = Micros(-2_208_988_800_000_000);
const END_OF_2199: Micros = Micros(7_258_118_399_999_999);

fn string(value: &str) -> Option<Cow<'_, str>> {
    if !value.starts_with('"') {
        return None;
    }
    let text = json::decode(value);
    // U+0000 is delivered in this form, too.
    Some(if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { text })
}

pub(super) fn text(value: &str) -> Option<Cow<'_, str>> {
    string(value).filter(|text| !text.is_empty() && text.len() <= MAX_TEXT_BYTES)
}

pub(super) fn integer(value: &str) -> Option<i64> {
    let number = match value.parse::<i64>() {
        Ok(number) => number,
        // 2.0 and 2e0 are integers to JavaScript.
        Err(_) if value.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            let number: f64 = value.parse().ok()?;
            if number.fract() != 0.0 || number.abs() > MAX_INTEGER as f64 {
                return None;
            }
            number as i64
        }
        Err(_) => return None,
    };
    (-MAX_INTEGER..=MAX_INTEGER).contains(&number).then_some(number)
}

/// The first line that is not empty, its first [`MAX_MESSAGE_CHARS`] characters.
pub(super) fn message(value: &str) -> Option<String> {
    let text = string(value)?;
    let line = text.split(['\n', '\r']).find(|line| !line.is_empty())?;
    Some(line.chars().take(MAX_MESSAGE_CHARS).collect())
}

/// The first [`MAX_MESSAGE_CHARS`] characters of a text.
pub(super) fn beginning(value: &str) -> Option<String> {
    let text = string(value).filter(|text| !text.is_empty())?;
    Some(text.chars().take(MAX_MESSAGE_CHARS).collect())
}

pub(super) fn time(value: &str) -> Option<Micros> {
    let text = string(value)?;
    let moment = parse_rfc3339(&text)?;
    (YEAR_2000..YEAR_2101).contains(&moment).then_some(moment)
}

/// A time of the database's clock, moved to the nearest bound if it is implausible.
pub(super) fn received(moment: Micros) -> Micros {
    moment.clamp(YEAR_1900, END_OF_2199)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_the_databases_clock_are_whole_years() {
        assert_eq!(received(Micros::MIN).to_rfc3339(), "1900-01-01T00:00:00.000000Z");
        assert_eq!(received(Micros::MAX).to_rfc3339(), "2199-12-31T23:59:59.999999Z");
        assert_eq!(received(Micros(0)), Micros(0));
    }

    #[test]
    fn integers_are_those_that_javascript_holds() {
        for (text, number) in
            [("0", 0), ("-7", -7), ("2.0", 2), ("1e3", 1000), ("9007199254740991", MAX_INTEGER)]
        {
            assert_eq!(integer(text), Some(number), "{text}");
        }
        for text in ["1.5", "\"3\"", "null", "9007199254740992", "1e300", "true", "[1]"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }
}
