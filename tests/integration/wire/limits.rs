//! `fields` and `max`: clients that limit the size of a frame can follow a class of large events.

use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    Database, Relay, event, handshake_with, origin, parts, read_frame, text, within,
};

/// The members that are always sent.
const KEPT: [&str; 7] =
    ["id", "classId", "studentId", "receivedAt", "eventId", "eventType", "eventTime"];

/// Events of many sizes, each marked with its number. The last has 3 MiB.
fn lesson() -> Vec<Value> {
    (0..60)
        .map(|n| {
            let mut event = event(n);
            let size = if n == 59 { 3 << 20 } else { 1 << (n % 18) };
            // Text with characters of several bytes and with escapes.
            event["result"] = "漢\u{1b}[0m\"".repeat(size / 9 + 1).into();
            event["code"] = "x = 1\n".repeat(size / 12 + 1).into();
            event["outputs"] = json!([{"png": "A".repeat(size / 8)}]);
            event
        })
        .collect()
}

/// The frames of a WebSocket as texts, up to the event marked `last`, read without a size limit.
async fn frames(relay: &Relay, query: &str, last: u64) -> Vec<String> {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    handshake_with(&mut stream, relay, &format!("?{query}"), "").await;
    let mut texts = Vec::new();
    loop {
        let (first, payload) = within("a frame", read_frame(&mut stream)).await.expect("a frame");
        // A test that takes long is pinged.
        if first != 0x81 {
            continue;
        }
        let text = String::from_utf8(payload).expect("UTF-8");
        let frame: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {query}"));
        texts.push(text);
        if marks(&frame).last() == Some(&last) {
            return texts;
        }
    }
}

/// The lines of an event stream, up to the event marked `last`.
async fn lines(relay: &Relay, query: &str, last: u64) -> Vec<String> {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let request = format!("GET /api/class/stream?{query} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let (mut whole, mut lines) = (Vec::new(), Vec::new());
    let mut part = vec![0; 1 << 20];
    loop {
        let read = within("a part", stream.read(&mut part)).await.expect("a part");
        assert!(read > 0, "the stream ended: {}", String::from_utf8_lossy(&whole));
        whole.extend_from_slice(&part[..read]);
        while let Some(end) = whole.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = whole.drain(..=end).collect();
            let line = String::from_utf8(line).expect("UTF-8");
            let data = line
                .strip_prefix("data: ")
                .map(|data| serde_json::from_str::<Value>(data).expect("JSON"));
            lines.push(line);
            if data.is_some_and(|frame| marks(&frame).last() == Some(&last)) {
                return lines;
            }
        }
    }
}

fn marks(frame: &Value) -> Vec<u64> {
    let events = frame["events"].as_array().map_or(&[][..], Vec::as_slice);
    events.iter().map(|event| event["n"].as_u64().expect("a mark")).collect()
}

fn events(frames: &[String]) -> Vec<Value> {
    let frames = frames.iter().map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
    frames.flat_map(|frame| frame["events"].as_array().cloned().unwrap_or_default()).collect()
}

/// Compares the events of a limited subscriber with the whole ones.
fn assert_cut(got: &[Value], whole: &[Value], left_out: &[&str]) {
    assert_eq!(got.len(), whole.len());
    for (got, whole) in got.iter().zip(whole) {
        let truncated = got["truncated"].as_array().cloned().unwrap_or_default();
        // A member that was cut when it was stored is named for every subscriber.
        let before = whole["truncated"].as_array().cloned().unwrap_or_default();
        for (key, value) in whole.as_object().expect("an event") {
            let name = Value::from(key.as_str());
            if key == "truncated" || before.contains(&name) {
                continue;
            }
            let named = truncated.contains(&name);
            match got.get(key) {
                Some(same) if same == value => assert!(!named, "{key} is whole and named"),
                Some(Value::String(part)) => {
                    let all = value.as_str().expect("a text");
                    assert!(all.starts_with(part.as_str()) && named, "{key}: {truncated:?}");
                }
                None if left_out.contains(&key.as_str()) => assert!(!named, "{key}"),
                None => assert!(named, "{key} is missing: {truncated:?}"),
                Some(other) => panic!("{key}: {other}"),
            }
            assert!(!KEPT.contains(&key.as_str()) || got.get(key) == Some(value), "{key}");
        }
        assert!(
            before.iter().all(|name| truncated.contains(name)),
            "{truncated:?} without {before:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_and_no_line_is_larger_than_asked_for() {
    let database = Database::new().await;
    let one = Relay::start(&database, &[]).await;
    // This relay reads from the table, because its log in memory is small.
    let two = Relay::start(&database, &["--log-memory", "64KiB"]).await;
    let sent = lesson();
    let mut cursor = String::new();
    for event in &sent {
        cursor = text(&one.post(event).await, "cursor").to_owned();
    }
    let from = format!("cursor={}", origin(&cursor));
    let last = sent.len() as u64 - 1;
    let whole = events(&frames(&one, &from, last).await);
    assert_eq!(whole.len(), sent.len());
    for (relay, name) in [(&one, "memory"), (&two, "table")] {
        for (query, max, left_out) in [
            ("max=4096", 4096, &[][..]),
            ("max=131072", 131_072, &[]),
            ("max=1048576&fields=-code,-n0", 1 << 20, &["code"]),
            (
                "fields=-result&fields=-code,-outputs&max=1000000000",
                256 << 10,
                &["result", "code", "outputs"],
            ),
        ] {
            let query = format!("{from}&{query}");
            let frames = frames(relay, &query, last).await;
            let largest = frames.iter().map(String::len).max().expect("a frame");
            assert!(largest <= max, "{name}, {query}: a frame of {largest} bytes");
            assert_cut(&events(&frames), &whole, left_out);
            let ids = frames.iter().filter_map(|frame| {
                let frame: Value = serde_json::from_str(frame).expect("JSON");
                let last = frame["events"].as_array()?.last()?["id"].as_i64()?;
                Some((parts(text(&frame, "cursor")).1, last))
            });
            assert!(
                ids.into_iter().all(|(cursor, id)| cursor == id),
                "each frame's cursor is its last event's"
            );

            let lines = lines(relay, &query, last).await;
            let largest = lines.iter().map(String::len).max().expect("a line");
            assert!(largest <= max, "{name}, {query}: a line of {largest} bytes");
            let data: Vec<String> = lines
                .iter()
                .filter_map(|line| line.strip_prefix("data: "))
                .map(str::to_owned)
                .collect();
            assert_cut(&events(&data), &whole, left_out);
        }
    }
    // Subscribers without parameters get whole events, as before.
    let largest = frames(&two, &from, last).await.iter().map(String::len).max().expect("a frame");
    assert!(largest > 3 << 20, "{largest}");
}

/// A limited subscriber resumes after any event of a frame that others get whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_subscriber_resumes_where_it_was() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let batch: Vec<Value> = (0..300)
        .map(|n| {
            let mut event = event(n);
            event["code"] = "x".repeat(n * 20).into();
            event
        })
        .collect();
    let end = text(&relay.post(&batch.into()).await, "cursor").to_owned();
    let (mut cursor, mut seen, mut connections) = (origin(&end), Vec::new(), 0);
    while seen.len() < 300 {
        let query = format!("max=8192&cursor={cursor}");
        let mut subscriber =
            Subscriber::connect_to(&relay.url, &query, &[]).await.expect("a subscription");
        connections += 1;
        // One frame per connection, as for a client whose connections never last.
        let Frame::Progress { cursor: next, events } =
            within("a frame", subscriber.next()).await.expect("one")
        else {
            panic!("no events after {cursor}")
        };
        seen.extend(events.iter().map(|event| {
            serde_json::from_str::<Value>(event.get()).expect("JSON")["n"].as_u64().expect("a mark")
        }));
        cursor = next;
    }
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
    assert!(connections > 100, "{connections}");
    // Then it is live, as any other subscriber.
    let query = format!("max=8192&cursor={cursor}");
    let mut subscriber =
        Subscriber::connect_to(&relay.url, &query, &[]).await.expect("a subscription");
    assert!(matches!(within("live", subscriber.next()).await, Ok(Frame::Live { .. })));
}

#[tokio::test]
async fn a_parameter_that_cannot_be_used_is_named() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    for (query, name) in [
        ("fields=code", "fields"),
        ("fields=", "fields"),
        ("fields=-code,", "fields"),
        ("max=", "max"),
        ("max=4095", "max"),
        ("max=1MiB", "max"),
        ("max=-1", "max"),
        ("max=5000&max=6000", "max"),
    ] {
        let mut subscriber =
            Subscriber::connect_to(&relay.url, query, &[]).await.expect("a handshake");
        match within("a close", subscriber.next()).await {
            Ok(Frame::Closed { code: Some(1008), reason }) => {
                assert!(reason.starts_with(name), "{query}: {reason}");
            }
            other => panic!("{query}: {other:?}"),
        }
        let target = format!("/api/class/stream?{query}");
        let response = relay.connection().await.get(&target).await.expect("an answer");
        let problem: Value = response.json().expect("a problem");
        assert_eq!((response.status.as_u16(), &problem["field"]), (400, &name.into()), "{query}");
        assert!(text(&problem, "detail").starts_with(name), "{problem}");
    }
}
