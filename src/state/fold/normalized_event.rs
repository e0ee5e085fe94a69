//! An event as the fold sees it: a few fields, each either usable or absent.
//!
//! The relay's ingest has checked its own events, but anyone may insert others with SQL. The
//! dashboard's fold looks at the delivered JSON in the same way, so every rule here is one that
//! both can follow. A text is absent when it is empty, longer than [`MAX_TEXT_BYTES`] or not a
//! string; a number when it is not an integer that JavaScript holds exactly.
//!
//! Times are read by hand, not by the `time` crate: the dashboard has the same reader, and the
//! library's set of accepted texts (leap seconds, for one) is another.

use std::borrow::Cow;

use crate::event::{EventId, Micros, StoredEvent, json};

/// Longest name, path or id in bytes: the ingest's own bound.
pub(crate) const MAX_TEXT_BYTES: usize = 1024;
/// How much of an error's first line identifies the error, in characters.
pub(crate) const MAX_MESSAGE_CHARS: usize = 200;
/// The largest integer that JavaScript holds exactly.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// The years that a client's clock may show: 2000-01-01 to the end of 2100.
const YEAR_2000: Micros = Micros(946_684_800_000_000);
const YEAR_2101: Micros = Micros(4_133_980_800_000_000);

/// The rules of the fold that an event falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    Run,
    Help,
    HelpStop,
    HelpResolved,
    Other,
}

/// An event as the fold sees it.
#[derive(Debug)]
pub(super) struct NormalizedEvent<'a> {
    pub(super) id: EventId,
    pub(super) student: &'a str,
    /// By the database's clock.
    pub(super) received: Micros,
    /// By the client's clock; by the database's where the client's time is not usable.
    pub(super) time: Micros,
    pub(super) kind: EventKind,
    pub(super) event_type: Option<Cow<'a, str>>,
    pub(super) user_name: Option<Cow<'a, str>>,
    pub(super) team_name: Option<Cow<'a, str>>,
    pub(super) session: Option<Cow<'a, str>>,
    pub(super) notebook: Option<Cow<'a, str>>,
    pub(super) cell: Option<Cow<'a, str>>,
    pub(super) cell_index: Option<i64>,
    pub(super) execution_count: Option<i64>,
    pub(super) failed: bool,
    /// The message by which an error is counted.
    pub(super) message: Option<String>,
}

impl<'a> NormalizedEvent<'a> {
    pub(super) fn of(event: &StoredEvent<'a>) -> Self {
        let received = event.received_at.in_years();
        let mut this = Self {
            id: EventId(event.id),
            student: event.student,
            received,
            time: received,
            kind: EventKind::Other,
            event_type: None,
            user_name: None,
            team_name: None,
            session: None,
            notebook: None,
            cell: None,
            cell_index: None,
            execution_count: None,
            failed: false,
            message: None,
        };
        let mut error = None;
        // Of a key that comes twice, the last counts, as in JavaScript.
        for (key, value) in json::members(event.body) {
            match &*key {
                "eventType" => this.event_type = text(value),
                "eventTime" => this.time = time(value).unwrap_or(received),
                "userName" => this.user_name = text(value),
                "teamName" => this.team_name = text(value),
                "sessionId" => this.session = text(value),
                "notebookPath" => this.notebook = text(value),
                "cellId" => this.cell = text(value),
                "cellIndex" => this.cell_index = integer(value),
                "executionCount" => this.execution_count = integer(value),
                "hasError" => this.failed = value == "true",
                "errorMessage" => error = Some(value),
                _ => {}
            }
        }
        this.kind = match this.event_type.as_deref() {
            Some("cell_executed") => EventKind::Run,
            Some("help") => EventKind::Help,
            Some("help_stop") => EventKind::HelpStop,
            Some("help_resolved") => EventKind::HelpResolved,
            _ => EventKind::Other,
        };
        if this.kind == EventKind::Run && this.failed {
            this.message = error.and_then(message);
        }
        this
    }

    /// When the event happened, as far as can be told: a client's clock that is ahead is not
    /// believed.
    pub(super) fn moment(&self) -> Micros {
        self.time.min(self.received)
    }
}

fn string(value: &str) -> Option<Cow<'_, str>> {
    if !value.starts_with('"') {
        return None;
    }
    let text = json::decode(value);
    // U+0000 is delivered in this form, too.
    Some(if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { text })
}

fn text(value: &str) -> Option<Cow<'_, str>> {
    string(value).filter(|text| !text.is_empty() && text.len() <= MAX_TEXT_BYTES)
}

fn integer(value: &str) -> Option<i64> {
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
fn message(value: &str) -> Option<String> {
    let text = string(value)?;
    let line = text.split(['\n', '\r']).find(|line| !line.is_empty())?;
    Some(line.chars().take(MAX_MESSAGE_CHARS).collect())
}

fn time(value: &str) -> Option<Micros> {
    let text = string(value)?;
    let moment = parse_rfc3339(text.as_bytes())?;
    (YEAR_2000..YEAR_2101).contains(&moment).then_some(moment)
}

/// Reads `YYYY-MM-DDThh:mm:ss[.f…](Z|±hh:mm)`: a day that exists, no leap second. What is below a
/// microsecond is cut.
pub(in crate::state) fn parse_rfc3339(text: &[u8]) -> Option<Micros> {
    let number = |from: usize, len: usize| {
        let digits = text.get(from..from + len)?;
        digits.iter().try_fold(0i64, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let is = |at: usize, bytes: &[u8]| text.get(at).is_some_and(|byte| bytes.contains(byte));
    let punctuated = is(4, b"-") && is(7, b"-") && is(10, b"Tt") && is(13, b":") && is(16, b":");
    if !punctuated {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date =
        time::Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?)
            .ok()?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if is(at, b".") {
        let digits = text[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let read = digits.min(6);
        micros = number(at + 1, read)? * 10i64.pow(6 - read as u32);
        at += 1 + digits;
    }
    let offset = if is(at, b"Zz") {
        at += 1;
        0
    } else {
        let sign = if is(at, b"+") {
            1
        } else if is(at, b"-") {
            -1
        } else {
            return None;
        };
        let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
        if !is(at + 3, b":") || hours > 23 || minutes > 59 {
            return None;
        }
        at += 6;
        sign * (hours * 3600 + minutes * 60)
    };
    if at != text.len() {
        return None;
    }
    // 1970-01-01 is Julian day 2,440,588.
    let days = i64::from(date.to_julian_day()) - 2_440_588;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(Micros(seconds * 1_000_000 + micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for micros in [0, 951_782_400_000_000, 1_775_034_000_123_456, YEAR_2101.0 - 1, -1] {
            let moment = Micros(micros);
            assert_eq!(parse_rfc3339(moment.to_rfc3339().as_bytes()), Some(moment));
        }
        let nine = parse_rfc3339(b"2026-04-01T09:00:00Z");
        assert_eq!(nine, Some(Micros(1_775_034_000_000_000)));
        assert_eq!(parse_rfc3339(b"2026-04-01t18:00:00.0000009+09:00"), nine);
        assert_eq!(parse_rfc3339(b"2026-04-01T08:30:00.0-00:30"), nine);
        for text in [
            "",
            "2026-04-01",
            "2026-04-01T09:00:00",
            "2026-04-01T09:00:00.Z",
            "2026-04-01T09:00:00ZZ",
            "2026-04-01 09:00:00Z",
            "2026-02-29T09:00:00Z",
            "2026-13-01T09:00:00Z",
            "2026-04-01T24:00:00Z",
            "2026-04-01T09:00:60Z",
            "2026-04-01T09:00:00+9:00",
            "2026-04-01T09:00:00+0900",
            "+026-04-01T09:00:00Z",
            "2026-04-01T09:00:00+24:00",
        ] {
            assert_eq!(parse_rfc3339(text.as_bytes()), None, "{text}");
        }
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
