//! Hostile and odd input: every rule of the interface, at its bound and one step over it.

// Requests that arrive too slowly, on too many connections, or with too many bytes at once.
mod admission;
// The bodies that `requests` sends.
mod bodies;
// Events that are rejected, each alone and each between two good ones, which are stored.
mod events;
// The headers and framings that `requests` sends.
mod headers;
// Events that are unusual and valid: what is stored of them.
mod odd;
// Arbitrary JSON and arbitrary bytes always get a clear answer.
mod property;
// Requests that are refused as a whole, and unusual ones that are accepted.
mod requests;
// The methods, paths and parameters that `requests` sends.
mod routes;
// The WebSocket's framing, after the cases of the Autobahn suite.
mod websocket;

use std::sync::LazyLock;

use serde_json::Value;

/// The members of a valid event, each value as JSON text.
static GOOD: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    [
        ("eventType", "\"cell_executed\""),
        ("eventTime", "\"2026-11-23T15:36:11.956Z\""),
        ("userId", "\"s001\""),
        ("userName", "\"Alice\""),
    ]
    .map(|(key, value)| (key, value.to_owned()))
    .into()
});

/// A valid event with a new id and some members replaced by JSON text, or left out where the text
/// is empty.
fn event_with(changes: &[(&str, &str)]) -> String {
    let id = format!("\"{}\"", uuid::Uuid::new_v4());
    let mut members: Vec<(&str, String)> = vec![("eventId", id)];
    members.extend(GOOD.iter().cloned());
    for (key, value) in changes {
        members.retain(|(other, _)| other != key);
        if !value.is_empty() {
            members.push((key, (*value).to_owned()));
        }
    }
    let members: Vec<String> =
        members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn problem_type(problem: &Value) -> &str {
    let text = problem["type"].as_str().unwrap_or_default();
    text.strip_prefix("urn:progress-relay:problem:").unwrap_or(text)
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
