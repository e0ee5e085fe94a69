//! Streams, handshakes and frames as WebSocket and SSE libraries of other languages expect them.

use bytes::Bytes;
use progress_relay::client::http::{Connection, Response};
use progress_relay::client::ws::Subscriber;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::{Database, Relay, event, handshake_with, origin, text, within};

/// The head of a stream, and its first frame with events, or its `live` if there are none.
async fn first(relay: &Relay, target: &str, headers: &str) -> (String, Value) {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let request = format!("GET {target} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    loop {
        let read = within("the stream", stream.read_buf(&mut answer)).await.expect("bytes");
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        let answer = String::from_utf8_lossy(&answer);
        let data = answer.split_once("data: ").and_then(|(_, rest)| rest.split_once('\n'));
        if let Some((data, _)) = data {
            let head = answer.split_once("\r\n\r\n").expect("a head").0.to_lowercase();
            return (head, serde_json::from_str(data).expect("JSON"));
        }
    }
}

/// A browser sends the header when it reconnects; `lastEventId` in the URL replaces the header;
/// `cursor` in the URL is where the stream began.
#[tokio::test]
async fn a_stream_is_resumed_by_any_of_three() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut cursors = Vec::new();
    for n in 0..4 {
        cursors.push(text(&relay.post(&event(n)).await, "cursor").to_owned());
    }
    let begin = origin(&cursors[0]);
    let [one, two, three, _] = &cursors[..] else { panic!("four") };
    for (query, headers, expected) in [
        (format!("?cursor={begin}"), String::new(), Some(0)),
        (format!("?lastEventId={one}"), String::new(), Some(1)),
        (format!("?cursor={begin}&lastEventId={two}"), String::new(), Some(2)),
        (format!("?lastEventId=&cursor={one}"), String::new(), Some(1)),
        (
            format!("?lastEventId={one}&cursor={begin}"),
            format!("Last-Event-ID: {three}\r\n"),
            Some(3),
        ),
        (format!("?lastEventId={one}"), "Last-Event-ID:\r\n".to_owned(), Some(1)),
        ("?lastEventId=".to_owned(), String::new(), None),
    ] {
        let (head, frame) = first(&relay, &format!("/api/class/stream{query}"), &headers).await;
        assert_eq!(frame["events"][0]["n"].as_u64(), expected, "{query} {headers}: {frame}");
        assert!(head.contains("\r\ncache-control: no-store, no-transform\r\n"), "{head}");
    }
    let (_, frame) = first(&relay, "/api/class/stream?lastEventId=none", "").await;
    assert_eq!((&frame["type"], &frame["reason"]), (&"reset".into(), &"malformed".into()));
}

async fn options(connection: &mut Connection, target: &str, headers: &[(&str, &str)]) -> Response {
    connection.request("OPTIONS", target, headers, Bytes::new()).await.expect("an answer")
}

#[tokio::test]
async fn every_path_names_its_methods() {
    const READ: &str = "GET, HEAD, OPTIONS";
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--allow-origin", "https://school.example"]).await;
    let mut connection = relay.connection().await;
    for path in
        ["/api/class/stream", "/ws/connect", "/healthz", "/readyz", "/metrics", "/", "/api/classes"]
    {
        let plain = options(&mut connection, path, &[]).await;
        assert_eq!((plain.status.as_u16(), plain.header("allow")), (204, Some(READ)), "{path}");
        assert_eq!(plain.header("access-control-allow-origin"), None, "{path}");
        assert!(plain.body.is_empty());
        let asked = [
            ("Origin", "https://school.example"),
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", "last-event-id"),
        ];
        let allowed = options(&mut connection, path, &asked).await;
        assert_eq!(allowed.status, 204, "{path}");
        // No other page may read the dashboard's page.
        if path != "/" {
            for (header, value) in [
                ("access-control-allow-origin", "https://school.example"),
                ("access-control-allow-methods", READ),
                ("access-control-allow-headers", "last-event-id"),
                ("access-control-max-age", "7200"),
            ] {
                assert_eq!(allowed.header(header), Some(value), "{path}: {header}");
            }
        }
        let other = options(&mut connection, path, &[("Origin", "https://evil.example")]).await;
        assert_eq!(other.header("access-control-allow-origin"), None, "{path}");
        let posted = connection.post_json(path, "{}").await.expect("an answer");
        assert_eq!((posted.status.as_u16(), posted.header("allow")), (405, Some(READ)), "{path}");
    }
    let headers = [("Origin", "https://school.example")];
    let wrong = connection.request("GET", "/api/class/stream?max=1", &headers, Bytes::new()).await;
    let wrong = wrong.expect("an answer");
    assert_eq!(
        (wrong.status.as_u16(), wrong.header("access-control-allow-origin")),
        (400, Some("https://school.example"))
    );
    let read =
        connection.request("GET", "/healthz", &headers, Bytes::new()).await.expect("an answer");
    assert_eq!(read.header("access-control-allow-origin"), Some("https://school.example"));
}

#[tokio::test]
async fn the_subprotocol_is_echoed_to_those_who_offer_it() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    for (offered, expected) in [
        ("", false),
        ("Sec-WebSocket-Protocol: progress-relay\r\n", true),
        ("Sec-WebSocket-Protocol: mqtt, progress-relay\r\n", true),
        ("Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: progress-relay\r\n", true),
        ("Sec-WebSocket-Protocol: progress-relay2\r\n", false),
        ("Sec-WebSocket-Protocol: Progress-Relay\r\n", false),
    ] {
        let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
        let head = handshake_with(&mut stream, &relay, "", offered).await;
        let echoed = head.contains("\r\nsec-websocket-protocol: progress-relay\r\n");
        assert_eq!(
            (echoed, head.contains("sec-websocket-protocol")),
            (expected, expected),
            "{offered}: {head}"
        );
    }
}

/// The frames of a stream that tell the time, until one of `kind`.
async fn until_frame(relay: &Relay, kind: &str) -> Value {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let request = "GET /api/class/stream HTTP/1.0\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut lines = BufReader::new(stream).lines();
    loop {
        let line = within(kind, lines.next_line()).await.expect("a line").expect("a frame");
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let frame: Value = serde_json::from_str(data).expect("JSON");
        if frame["type"] == kind {
            return frame;
        }
    }
}

/// `live` and `mark` carry the time of the database, not that of the machine.
#[tokio::test]
async fn live_and_mark_tell_the_time() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let client = database.client().await;
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let clock = async || -> i64 { client.query_one(sql, &[]).await.expect("the time").get(0) };
    let mut subscriber = Subscriber::connect(&relay.url, &[], None).await.expect("a subscription");
    let by_socket = async |kind: &'static str| -> Value {
        let frame = within(kind, subscriber.next_text()).await.expect("a frame");
        serde_json::from_str(&frame).expect("JSON")
    };
    check_times(by_socket, &clock).await;
    check_times(async |kind: &'static str| until_frame(&relay, kind).await, &clock).await;
}

/// Checks the times of `live` and of `mark`, which a quiet class gets after 25 s at most.
async fn check_times(
    mut next: impl AsyncFnMut(&'static str) -> Value,
    clock: &impl AsyncFn() -> i64,
) {
    for kind in ["live", "mark"] {
        let frame = next(kind).await;
        assert_eq!(frame["type"], kind);
        let now = text(&frame, "now");
        assert_eq!((now.len(), now.ends_with('Z')), (27, true), "six digits of the second: {now}");
        let moment = OffsetDateTime::parse(now, &Rfc3339).expect("RFC 3339");
        let micros = i64::try_from(moment.unix_timestamp_nanos() / 1000).expect("a time of ours");
        let apart = (clock().await - micros).abs();
        assert!(apart < 2_000_000, "{apart} µs from the database's clock");
    }
}
