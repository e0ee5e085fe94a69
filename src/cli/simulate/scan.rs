//! Finds the events of a frame without parsing them. A thousand dashboards that receive a thousand
//! events a second are a million events a second, on a machine that also runs the relay.

use crate::client::ClientError;
use crate::client::ws::Frame;

/// The cursor and the events of a `progress` frame in the relay's layout. The events are one text
/// with commas between them.
pub(super) fn progress(text: &str) -> Option<(&str, &str)> {
    let (cursor, rest) = text.strip_prefix(r#"{"type":"progress","cursor":""#)?.split_once('"')?;
    Some((cursor, rest.strip_prefix(r#","events":["#)?.strip_suffix("]}")?))
}

/// Writes each event's id and offset into `found`. Returns `false` if the events are not in the
/// relay's layout, or if part of an event looks like another event. The frame must be parsed then.
pub(super) fn starts(cursor: &str, events: &str, found: &mut Vec<(i64, usize)>) -> bool {
    found.clear();
    let mut at = 0;
    while let Some(offset) = events[at..].find('{') {
        let start = at + offset;
        at = start + 1;
        if start > 0 && !events[..start].ends_with("},") {
            continue;
        }
        let Some(rest) = events[start..].strip_prefix("{\"id\":") else { continue };
        let Some((digits, _)) = rest.split_once([',', '}']) else { return false };
        let Ok(id) = digits.parse() else { return false };
        if found.last().is_some_and(|&(last, _)| id <= last) {
            return false;
        }
        found.push((id, start));
    }
    let last = cursor.rsplit_once('.').and_then(|(_, id)| id.parse().ok());
    found.first().is_some_and(|&(_, start)| start == 0) && found.last().map(|&(id, _)| id) == last
}

/// An event's id and text.
type Event = (i64, String);

/// Parses a frame into its cursor (empty if it has none) and its events (`None` if it is no
/// `progress` frame).
pub(super) fn parse(text: &str) -> Result<(String, Option<Vec<Event>>), ClientError> {
    #[derive(serde::Deserialize)]
    struct Id {
        id: i64,
    }
    Ok(match Frame::parse(text)? {
        Frame::Progress { cursor, events } => {
            let mut found = Vec::with_capacity(events.len());
            for event in events {
                let Id { id } = serde_json::from_str(event.get())
                    .map_err(|error| ClientError::Protocol(format!("an event: {error}")))?;
                found.push((id, event.get().to_owned()));
            }
            (cursor, Some(found))
        }
        Frame::Live { cursor } | Frame::Mark { cursor } | Frame::Pong { cursor } => (cursor, None),
        Frame::Reset { cursor, .. } => (cursor, None),
        Frame::Unknown | Frame::Closed { .. } => (String::new(), None),
    })
}

/// The sequence number and the time of sending that `simulate` has written into an event; `None`
/// for an event of another sender.
pub(super) fn stamp(event: &str, marker: &str) -> Option<(usize, u64)> {
    let rest = &event[event.find(marker)? + marker.len()..];
    let (sequence, rest) = rest.split_once('"')?;
    const SENT: &str = "\"simulateSentAt\":";
    let rest = match rest.strip_prefix(',').and_then(|rest| rest.strip_prefix(SENT)) {
        Some(rest) => rest,
        None => &event[event.find(SENT)? + SENT.len()..],
    };
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    Some((sequence.parse().ok()?, rest[..end].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(text: &str) -> Option<Vec<i64>> {
        let (cursor, events) = progress(text)?;
        let mut found = Vec::new();
        starts(cursor, events, &mut found).then(|| found.iter().map(|&(id, _)| id).collect())
    }

    #[test]
    fn the_relays_layout_is_scanned() {
        let text =
            r#"{"type":"progress","cursor":"a.9","events":[{"id":7,"x":"},{\"id\":8,"},{"id":9}]}"#;
        assert_eq!(scanned(text), Some(vec![7, 9]));
    }

    #[test]
    fn any_other_layout_is_parsed() {
        for text in [
            r#"{"type":"progress","cursor":"a.9","events":[{"x":1,"id":9}]}"#,
            r#"{"type":"progress","cursor":"a.9","events":[{"id":8},{"x":1,"id":9}]}"#,
            r#"{"type":"progress","cursor":"a.9","events":[{"id":9,"x":[{},{"id":1}]}]}"#,
            r#"{"cursor":"a.9","type":"progress","events":[{"id":9}]}"#,
        ] {
            assert_eq!(scanned(text), None, "{text}");
            let (cursor, events) = parse(text).expect("valid");
            assert_eq!((&*cursor, events.and_then(|e| e.last().map(|e| e.0))), ("a.9", Some(9)));
        }
    }

    #[test]
    fn only_this_runs_events_have_a_stamp() {
        let marker = r#""simulateSeq":"ab-"#;
        let event = r#"{"id":7,"simulateSeq":"ab-12","simulateSentAt":345,"x":1}"#;
        assert_eq!(stamp(event, marker), Some((12, 345)));
        let event = r#"{"id":7,"simulateSentAt":345,"simulateSeq":"ab-12"}"#;
        assert_eq!(stamp(event, marker), Some((12, 345)));
        assert_eq!(stamp(r#"{"id":7,"simulateSeq":"cd-12","simulateSentAt":345}"#, marker), None);
    }
}
