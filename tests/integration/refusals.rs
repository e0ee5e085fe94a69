//! What is not taken, and how that is said.

use bytes::Bytes;
use progress_relay::http::client::http::Response;
use progress_relay::http::client::ws::Frame;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Database, Raw, RawFrame, Relay, event, text, within};

/// An answer that is a problem, as every route's error is.
fn assert_problem(what: &str, response: &Response, status: u16, name: &str) {
    assert_eq!(response.status, status, "{what}: {}", String::from_utf8_lossy(&response.body));
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{what}");
    let problem: Value = response.json().expect("a problem");
    assert_eq!(problem["status"], status, "{what}: {problem}");
    assert_eq!(problem["type"], format!("urn:progress-relay:problem:{name}"), "{what}");
    assert!(!text(&problem, "title").is_empty() && !text(&problem, "detail").is_empty(), "{what}: {problem}");
}

#[tokio::test]
async fn bodies_that_are_not_taken() {
    let database = Database::new().await;
    let flags = ["--max-body", "64KiB", "--max-batch", "3", "--max-field", "1KiB"];
    let relay = Relay::start(&database, &flags).await;
    let good = event(0).to_string();
    let json = ("content-type", "application/json");
    let four = format!("[{good},{good},{good},{good}]");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let gzip = ("content-encoding", "gzip");
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, Bytes, u16, &'a str);
    let cases: [Case<'_>; 12] = [
        ("nothing", vec![json], Bytes::new(), 400, "body-not-json"),
        ("half", vec![json], good[..40].to_owned().into(), 400, "body-not-json"),
        ("two", vec![json], format!("{good}{good}").into(), 400, "body-not-json"),
        ("an element that is none", vec![json], format!("[{good},{{]").into(), 400, "body-not-json"),
        ("text", vec![json], "\"event\"".into(), 400, "body-not-events"),
        ("null", vec![json], "null".into(), 400, "body-not-events"),
        ("Latin-1", vec![json], Bytes::from_static(b"[\"Andr\xe9\"]"), 400, "body-not-utf8"),
        ("four", vec![json], four.into(), 413, "batch-too-large"),
        ("64 KiB and a byte", vec![json], vec![b' '; 65_537].into(), 413, "body-too-large"),
        ("a form", vec![form], good.clone().into(), 415, "unsupported-media-type"),
        ("XML", vec![("content-type", "text/xml")], good.clone().into(), 415, "unsupported-media-type"),
        ("gzip", vec![json, gzip], good.clone().into(), 415, "unsupported-media-type"),
    ];
    for (what, headers, body, status, name) in cases {
        let mut connection = relay.connection().await;
        let response = connection.request("POST", "/api/v1/events", &headers, body).await.expect("an answer");
        assert_problem(what, &response, status, name);
        // Without it a browser hides even the error from the client.
        assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{what}");
    }
    let rows = database.client().await.query("SELECT FROM progress_event", &[]).await.expect("an answer");
    assert!(rows.is_empty(), "nothing of it was stored");
    for kind in
        ["application/json; charset=utf-8", "application/vnd.school+json", "text/plain;charset=UTF-8", ""]
    {
        let mut connection = relay.connection().await;
        let headers: &[(&str, &str)] = if kind.is_empty() { &[] } else { &[("content-type", kind)] };
        let body = Bytes::from(event(1).to_string());
        let response =
            connection.request("POST", "/student-progress", headers, body).await.expect("an answer");
        assert_eq!(response.status, 200, "{kind}");
    }
}

/// A body whose length nobody announced is bounded as well, and the connection ends in a way that the client hears of.
#[tokio::test]
async fn a_chunked_body_is_bounded() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--max-body", "64KiB"]).await;
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let head = "POST /student-progress HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let chunk = [b"8000\r\n".as_slice(), &[b' '; 0x8000], b"\r\n"].concat();
    for _ in 0..3 {
        stream.write_all(&chunk).await.expect("sent");
    }
    let mut answer = vec![0; 12];
    within("an answer", stream.read_exact(&mut answer)).await.expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");

    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let event = event(0).to_string();
    let (front, back) = event.split_at(event.len() / 2);
    let body = format!("{:x}\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\n\r\n", front.len(), back.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
    within("an answer", stream.read_exact(&mut answer)).await.expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 200");
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut connection = relay.connection().await;
    for (method, path, status, name, allow) in [
        ("GET", "/nowhere", 404, "not-found", None),
        ("POST", "/student-progress/2", 404, "not-found", None),
        ("GET", "/student-progress", 405, "method-not-allowed", Some("POST, OPTIONS")),
        ("PUT", "/api/v1/events", 405, "method-not-allowed", Some("POST, OPTIONS")),
        ("DELETE", "/cell-monitor", 405, "method-not-allowed", Some("POST, OPTIONS")),
        ("POST", "/ws/connect", 405, "method-not-allowed", Some("GET, HEAD")),
        ("POST", "/readyz", 405, "method-not-allowed", Some("GET, HEAD")),
    ] {
        let what = format!("{method} {path}");
        let response = connection.request(method, path, &[], Bytes::new()).await.expect("an answer");
        assert_problem(&what, &response, status, name);
        assert_eq!(response.header("allow"), allow, "{what}");
    }
    let alive = connection.get("/healthz").await.expect("an answer");
    assert_eq!(alive.status, 200);
    // Reading is not for every page: no CORS where nothing was allowed.
    assert_eq!(alive.header("access-control-allow-origin"), None);
}

/// A browser cannot see the status of an upgrade that is refused: these are accepted and closed.
#[tokio::test]
async fn subscribers_that_may_not_are_told_by_a_code() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--allow-origin", "https://school.example"]).await;
    let authority = relay.url.authority();
    for headers in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Host: evil.example\r\n",
        "Host: evil.example\r\nOrigin: http://evil.example\r\n",
    ] {
        assert_eq!(Raw::connect(&relay, headers).await.closed().await, 1008, "{headers}");
    }
    for headers in [
        String::new(),
        format!("Origin: http://{authority}\r\n"),
        "Origin: https://school.example\r\n".to_owned(),
        "Host: school.example\r\nOrigin: https://school.example\r\n".to_owned(),
    ] {
        let mut raw = Raw::connect(&relay, &headers).await;
        // Not closed: its first frame is a text, `live`.
        let frame = raw.frame().await;
        assert!(matches!(frame, RawFrame::Events(_)), "{headers}");
    }
}

#[tokio::test]
async fn what_subscribers_may_not_say_ends_them() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let long = vec![b'x'; 64 * 1024 + 1];
    for (what, opcode, payload, code) in [
        ("binary", 2, &b"\0\x01"[..], 1003),
        ("over 64 KiB", 1, &long, 1009),
        ("text that is not UTF-8", 1, b"\xff\xfe", 1007),
        ("an opcode that is none", 3, b"", 1002),
    ] {
        let mut raw = Raw::connect(&relay, "").await;
        raw.send(opcode, payload).await;
        assert_eq!(raw.closed().await, code, "{what}");
    }
}

/// What a browser or a script may send and no database can take, beside what it can.
#[tokio::test]
async fn odd_texts_come_out_mended() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--max-field", "1KiB"]).await;
    let mut subscriber = relay.subscribe(&["from the url"], None).await;
    let body = r#"[{"eventId":"9f582f0c-d406-435e-866c-7bbfe15dc8cd","eventType":"cell_executed",
        "eventTime":"2026-11-23T16:36:03.1234567+01:00","emailAddress":"","userId":" Zoë ","teamName":null,
        "id":7,"receivedAt":"never","truncated":["x"],"classId":null,
        "code":"a\u0000b\ud83dc","errorMessage":"\u001b[31mred\u001b[0m","result":"CODE",
        "deep":{"k\u0000":[{"\udc00":"\ud83d\ude00"}]},"twice":1,"twice":2,"big":123456789012345678901234567890,
        "cellIndex":0,"hasError":false}]"#;
    // A cut in the middle of a character would not be text.
    let body = body.replace("CODE", &format!("{}é{}", "x".repeat(1023), "y".repeat(10)));
    let mut connection = relay.connection().await;
    let answer =
        connection.post_json("/student-progress?class=from%20the%20url", body).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let event = loop {
        let frame = within("the event", subscriber.next()).await.expect("a frame");
        if let Frame::Progress { events, .. } = frame {
            break serde_json::from_str::<Value>(events[0].get()).expect("JSON");
        }
    };
    let mut event = event.as_object().expect("an object").clone();
    let id = event.remove("id").expect("an id");
    assert!(id.is_i64() && event.remove("receivedAt").expect("a time") != "never");
    let big = event.remove("big").expect("a number").to_string();
    assert_eq!(big.parse::<f64>(), Ok(123_456_789_012_345_678_901_234_567_890.0));
    assert_eq!(
        Value::Object(event),
        json!({
            "eventId": "9f582f0c-d406-435e-866c-7bbfe15dc8cd",
            "eventType": "cell_executed",
            "eventTime": "2026-11-23T15:36:03.123456Z",
            "emailAddress": "",
            "userId": " Zoë ",
            "classId": "from the url",
            "studentId": "Zoë",
            "code": "a\u{fffd}b\u{fffd}c",
            "errorMessage": "\u{1b}[31mred\u{1b}[0m",
            "result": "x".repeat(1023),
            "truncated": ["result"],
            "deep": {"k\u{fffd}": [{"\u{fffd}": "\u{1f600}"}]},
            "twice": 2,
            "cellIndex": 0,
            "hasError": false,
        })
    );
    // PostgreSQL itself can read what was stored.
    let sql = "SELECT body ->> 'code', body ->> 'result' FROM progress_event";
    let row = database.client().await.query_one(sql, &[]).await.expect("one row, readable");
    assert_eq!(row.get::<_, String>(0), "a\u{fffd}b\u{fffd}c");
}

/// Each rule of a field, and the event beside it that is stored all the same.
#[tokio::test]
async fn each_field_s_rule_is_said() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let cases = [
        ("eventId", json!("not-a-uuid"), "eventId"),
        ("eventType", json!(""), "eventType"),
        ("eventType", json!("x".repeat(65)), "eventType"),
        ("eventType", json!("help_resolved"), "eventType"),
        ("eventTime", json!("2026-11-23T15:36:11"), "eventTime"),
        ("eventTime", json!("1999-12-31T23:59:59Z"), "eventTime"),
        ("eventTime", json!("2101-01-01T00:00:00Z"), "eventTime"),
        ("eventTime", json!(1_795_448_171_840_u64), "eventTime"),
        ("userId", json!("  "), "studentId"),
        ("userId", json!(7), "userId"),
        ("userId", json!("é".repeat(101)), "userId"),
        ("userId", json!("a\u{0}b"), "userId"),
        ("classId", json!("x".repeat(201)), "classId"),
        ("classId", json!("a\nb"), "classId"),
        ("cellIndex", json!("1"), "cellIndex"),
        ("cellIndex", json!(1.5), "cellIndex"),
        ("hasError", json!("false"), "hasError"),
        ("notebookPath", json!("x".repeat(1025)), "notebookPath"),
        ("code", json!(["x"]), "code"),
    ];
    let mut batch = Vec::new();
    for (n, (field, value, _)) in cases.iter().enumerate() {
        let mut bad = event(n);
        bad[field] = value.clone();
        batch.extend([bad, event(n)]);
    }
    let answer = relay.post(&batch.into()).await;
    assert_eq!(answer["accepted"], cases.len());
    let rejected = answer["rejected"].as_array().expect("an array");
    assert_eq!(rejected.len(), cases.len(), "{answer}");
    for (n, (rejection, (_, value, field))) in rejected.iter().zip(&cases).enumerate() {
        assert_eq!(rejection["index"], 2 * n, "{value}: {rejection}");
        assert_eq!(rejection["field"], *field, "{value}: {rejection}");
        assert!(!text(rejection, "reason").is_empty(), "{rejection}");
    }
}
