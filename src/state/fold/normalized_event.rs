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

use crate::event::{EventId, Micros, StoredEvent, json, parse_rfc3339};

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
    let moment = parse_rfc3339(&text)?;
    (YEAR_2000..YEAR_2101).contains(&moment).then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

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
