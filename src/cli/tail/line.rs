//! An event as one line. Events are taken apart as text: what a student sent may be valid JSON that
//! no string type can hold (lone surrogates), and must come out as it came in.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::event;

/// The place of `hh:mm:ss` in a moment that the relay has written.
const TIME_OF_DAY: std::ops::Range<usize> = 11..19;
/// The longest error message that is shown, in characters.
const MAX_MESSAGE: usize = 200;

/// Characters that would do something in a terminal, or break a line in one reader or another.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with everything escaped that a terminal could act on.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Valid JSON on one line: the space between tokens goes, and inside strings what would end a line
/// or drive a terminal is escaped, which is the same JSON value.
pub(super) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if !in_string {
            in_string = c == '"';
            if !matches!(c, ' ' | '\t' | '\n' | '\r') {
                out.push(c);
            }
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_string = false,
            _ => {}
        }
        if is_unsafe(c) {
            // All of them are in the basic plane. Writing into a String cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// A member of an event: its name, decoded, and its value as JSON.
pub(super) type Member<'a> = (Cow<'a, str>, &'a str);

/// The members of a compact object. Nothing for what is not an object.
pub(super) fn members(object: &str) -> Vec<Member<'_>> {
    event::json::members(object).collect()
}

fn value<'a>(members: &[Member<'a>], name: &str) -> Option<&'a str> {
    let found = members.iter().rev().find(|(key, _)| key == name);
    found.map(|&(_, value)| value).filter(|&value| value != "null")
}

fn text<'a>(members: &[Member<'a>], name: &str) -> Option<Cow<'a, str>> {
    let quoted = value(members, name).filter(|value| value.starts_with('"'));
    quoted.map(event::json::decode).filter(|text| !text.is_empty())
}

/// The cursor after an event, from the cursor of its frame.
pub(super) fn event_cursor(frame_cursor: &str, members: &[Member<'_>]) -> Option<String> {
    let (epoch, _) = frame_cursor.rsplit_once('.')?;
    let id: i64 = value(members, "id")?.parse().ok()?;
    Some(format!("{epoch}.{id}"))
}

/// The event with `cursor` as its last member, in place of one that a student sent.
pub(super) fn json(event: &str, members: &[Member<'_>], cursor: Option<&str>) -> String {
    let (Some(cursor), true) = (cursor, event.starts_with('{')) else { return event.to_owned() };
    let cursor = compact(&serde_json::Value::from(cursor).to_string());
    let mut out = String::with_capacity(event.len() + cursor.len() + 12);
    if members.iter().any(|(name, _)| name == "cursor") {
        out.push('{');
        for (name, value) in members.iter().filter(|(name, _)| name != "cursor") {
            if out.len() > 1 {
                out.push(',');
            }
            event::json::write_string(name, &mut out);
            out.push(':');
            out.push_str(value);
        }
    } else {
        out.push_str(event.strip_suffix('}').unwrap_or(event));
    }
    if out.len() > 1 {
        out.push(',');
    }
    let _ = write!(out, "\"cursor\":{cursor}}}");
    out
}

/// The event for people.
pub(super) fn human(members: &[Member<'_>], with_class: bool) -> String {
    let mut words = vec![clock(members)];
    if with_class {
        words.push(format!("[{}]", text(members, "classId").unwrap_or("?".into())));
    }
    for name in ["studentId", "eventType"] {
        words.push(text(members, name).unwrap_or("?".into()).into_owned());
    }
    words.extend(text(members, "notebookPath").map(Cow::into_owned));
    match (value(members, "cellIndex"), text(members, "cellId")) {
        (Some(index), Some(id)) => words.push(format!("cell {index} ({id})")),
        (Some(index), None) => words.push(format!("cell {index}")),
        (None, Some(id)) => words.push(format!("cell ({id})")),
        (None, None) => {}
    }
    if value(members, "hasError") == Some("true") {
        let message = text(members, "errorMessage").map(|message| first_line(&message));
        words.push(
            message.map_or_else(|| "FAILED".to_owned(), |message| format!("FAILED: {message}")),
        );
    } else if value(members, "eventType") == Some("\"cell_executed\"") {
        words.push("ok".to_owned());
    }
    escape(&words.join("  "))
}

/// The time of day at which the relay received the event, in UTC.
fn clock(members: &[Member<'_>]) -> String {
    let received = text(members, "receivedAt").unwrap_or("--:--:--".into());
    let time_of_day = event::parse_rfc3339(&received)
        .and_then(|at| at.to_rfc3339().get(TIME_OF_DAY).map(str::to_owned));
    time_of_day.unwrap_or_else(|| received.into_owned())
}

/// The first line with something on it, without the colours that IPython puts into tracebacks.
fn first_line(message: &str) -> String {
    let plain = without_colours(message);
    let line = plain.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut shown: String = line.chars().take(MAX_MESSAGE).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

/// Without `ESC [ … m`. Any other sequence stays, to be escaped.
fn without_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        let after = &rest[at + 2..];
        let end = after.bytes().position(|b| !matches!(b, b'0'..=b'9' | b';'));
        match end.filter(|&end| after.as_bytes()[end] == b'm') {
            Some(end) => {
                out.push_str(&rest[..at]);
                rest = &after[end + 1..];
            }
            None => {
                out.push_str(&rest[..at + 2]);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_drives_the_terminal() {
        assert_eq!(escape("a\u{1b}[2J\n\u{9b}é\u{202e}"), "a\\u{1b}[2J\\n\\u{9b}é\\u{202e}");
        let event = r#"{"receivedAt":"2026-01-02T03:04:05.678Z","studentId":"\u001b]0;x\u0007","eventType":"cell_executed","notebookPath":"a\nb","cellIndex":2,"cellId":"c","hasError":true,"errorMessage":"\u001b[0;31mNameError\u001b[0m: x\u001b[2J\nmore"}"#;
        let line = human(&members(event), false);
        assert_eq!(
            line,
            "03:04:05  \\u{1b}]0;x\\u{7}  cell_executed  a\\nb  cell 2 (c)  FAILED: NameError: \
             x\\u{1b}[2J"
        );
    }

    #[test]
    fn one_line_of_the_same_json() {
        let text =
            "{\n \"a b\" : [ 1,\t{\"x\\\"\": \"y , z\\\\\"} ],\r\"n\":\"\u{85}\u{2028}\u{7f}\" }";
        let line = compact(text);
        assert_eq!(line, r#"{"a b":[1,{"x\"":"y , z\\"}],"n":"\u0085\u2028\u007f"}"#);
        let same = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("valid");
        assert_eq!(same(&line), same(text));
    }

    #[test]
    fn members_are_found_at_the_top_only() {
        let event = r#"{"id":1,"a":{"id":2,"b":[",",{}]},"c\"\u0064":"}","\ud800":null}"#;
        let members = members(event);
        let names: Vec<_> = members.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["id", "a", "c\"d", "\u{fffd}"]);
        assert_eq!(members[1].1, r#"{"id":2,"b":[",",{}]}"#);
        assert_eq!(event_cursor("0a.77", &members).as_deref(), Some("0a.1"));
        assert_eq!(event_cursor("nonsense", &members), None);
        for other in ["", "3", "[]", "{}"] {
            assert!(super::members(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn the_cursor_is_joined() {
        for (event, joined) in [
            ("{}", r#"{"cursor":"e.1"}"#),
            (r#"{"id":1}"#, r#"{"id":1,"cursor":"e.1"}"#),
            (r#"{"cursor":"x","a\nb":[1]}"#, r#"{"a\nb":[1],"cursor":"e.1"}"#),
            (r#"{"\u0063ursor":"x"}"#, r#"{"cursor":"e.1"}"#),
            ("7", "7"),
        ] {
            assert_eq!(json(event, &members(event), Some("e.1")), joined);
        }
    }
}
