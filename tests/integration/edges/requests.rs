//! Requests that are refused as a whole, and odd ones that are not.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{event_with, problem_type};
use crate::support::{Database, Relay, within};

/// Sends bytes, ends its side, reads to the end: the status, the head and the body of the last
/// answer.
async fn raw(relay: &Relay, what: &str, bytes: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    // The relay may answer, and close, before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = within(what, stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    // An interim answer stands before the final one.
    let last = answer.rfind("HTTP/1.").map_or("", |at| &answer[at..]);
    let (head, body) = last.split_once("\r\n\r\n").unwrap_or((last, ""));
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}

struct Case {
    what: String,
    bytes: Vec<u8>,
    status: u16,
    /// The problem's type; empty where none is asked for.
    problem: &'static str,
}

fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

fn case(what: impl Into<String>, bytes: Vec<u8>, status: u16, problem: &'static str) -> Case {
    Case { what: what.into(), bytes, status, problem }
}

const JSON: &str = "Content-Type: application/json";

fn body_cases() -> Vec<Case> {
    let post = |body: &[u8]| request("POST", "/student-progress", &[JSON], body);
    let mut cases = Vec::new();
    for body in [
        "",
        " ",
        "[",
        "{",
        "]",
        "[}",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{'a':1}",
        "[1,]",
        "[,1]",
        "{}{}",
        "[]x",
        "NaN",
        "-Infinity",
        "[-NaN]",
        "[nan]",
        "{NaN:1}",
        "[01]",
        "[+1]",
        "[.5]",
        "[1.]",
        "[\"\\x\"]",
        "[\"\\u12\"]",
        "[\"\n\"]",
        "[\"\t\"]",
        "[\"",
        "undefined",
        "\u{feff}",
        "// comment\n[]",
        "[1]\u{0}",
        "tru",
    ] {
        cases.push(case(format!("{body:?}"), post(body.as_bytes()), 400, "body-not-json"));
    }
    for body in ["null", "true", "7", "\"x\"", "1e999", " 1 "] {
        cases.push(case(format!("{body:?}"), post(body.as_bytes()), 400, "body-not-events"));
    }
    for body in [
        &b"\xff"[..],
        b"[\"\xc3\"]",
        b"[\"\xc0\x80\"]",
        b"[\"\xed\xa0\x80\"]",
        b"[\"\xf4\x90\x80\x80\"]",
        b"\xfe\xff\x00[",
        b"[]\x80",
    ] {
        cases.push(case(format!("{body:?}"), post(body), 400, "body-not-utf8"));
    }
    for depth in [127, 128, 129, 100_000] {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        cases.push(case(
            format!("an array {depth} deep"),
            post(nested.as_bytes()),
            422,
            "events-rejected",
        ));
        let object =
            event_with(&[("deep", &format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)))]);
        cases.push(case(
            format!("an event {depth} deep"),
            post(object.as_bytes()),
            422,
            "events-rejected",
        ));
    }
    cases.push(case("an element that is no number", post(b"[Infinity]"), 422, "events-rejected"));
    let many = |count: usize| format!("[{}]", vec!["7"; count].join(","));
    cases.push(case("1,000 events", post(many(1000).as_bytes()), 422, "events-rejected"));
    cases.push(case("1,001 events", post(many(1001).as_bytes()), 413, "batch-too-large"));
    cases.push(case("100,000 events", post(many(100_000).as_bytes()), 413, "batch-too-large"));
    let keys: Vec<String> = (0..50_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let wide = event_with(&[]).replacen('{', &format!("{{{},", keys.join(",")), 1);
    cases.push(case("50,000 keys", post(wide.as_bytes()), 200, ""));
    let same = event_with(&[]).replacen('{', &format!("{{{}", "\"k\":1,".repeat(50_000)), 1);
    cases.push(case("one key 50,000 times", post(same.as_bytes()), 200, ""));
    cases.push(case("an empty array", post(b"[]"), 200, ""));
    cases.push(case(
        "a byte order mark",
        post(format!("\u{feff}{}", event_with(&[])).as_bytes()),
        200,
        "",
    ));
    cases.push(case(
        "white space",
        post(format!(" \r\n\t[ {} ]\n", event_with(&[])).as_bytes()),
        200,
        "",
    ));
    cases
}

fn header_cases() -> Vec<Case> {
    let good = || event_with(&[]).into_bytes();
    let mut cases = Vec::new();
    for kind in [
        "text/html",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/xml",
        "application/jsonx",
        "json",
        "application/",
        "image/png",
        "application/json+zip",
        "text/csv",
        "*/*",
        "é",
    ] {
        let header = format!("Content-Type: {kind}");
        let bytes = request("POST", "/student-progress", &[&header], &good());
        cases.push(case(header, bytes, 415, "unsupported-media-type"));
    }
    for kind in [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.api+json",
        "application/ld+JSON;x=y",
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/json ;charset=latin1",
    ] {
        let header = format!("Content-Type: {kind}");
        cases.push(case(
            header.clone(),
            request("POST", "/student-progress", &[&header], &good()),
            200,
            "",
        ));
    }
    cases.push(case("no content type", request("POST", "/api/v1/events", &[], &good()), 200, ""));
    for encoding in ["gzip", "br", "deflate", "zstd", "gzip, identity", "x"] {
        let header = format!("Content-Encoding: {encoding}");
        cases.push(case(
            header.clone(),
            request("POST", "/student-progress", &[JSON, &header], &good()),
            415,
            "unsupported-media-type",
        ));
    }
    cases.push(case(
        "identity",
        request("POST", "/student-progress", &["Content-Encoding: Identity"], &good()),
        200,
        "",
    ));
    let chunked = |body: &str| {
        let head = "POST /student-progress HTTP/1.1\r\nHost: localhost\r\nConnection: \
             close\r\nTransfer-Encoding: chunked\r\n\r\n";
        [head, body].concat().into_bytes()
    };
    let event = event_with(&[]);
    let (one, two) = event.split_at(10);
    let parts = format!(
        "{:x}\r\n{one}\r\n{:x};ext=1\r\n{two}\r\n0\r\nTrailer: x\r\n\r\n",
        one.len(),
        two.len()
    );
    cases.push(case("a chunked body", chunked(&parts), 200, ""));
    cases.push(case(
        "a chunk's size that is none",
        chunked("x\r\n{}\r\n0\r\n\r\n"),
        400,
        "body-incomplete",
    ));
    cases.push(case(
        "a chunk's size beyond all",
        chunked("fffffffffffffffff\r\n{}"),
        400,
        "body-incomplete",
    ));
    let huge = format!("{:x}\r\n", 9 << 20) + &" ".repeat(9 << 20) + "\r\n0\r\n\r\n";
    cases.push(case("9 MiB in a chunk", chunked(&huge), 413, "body-too-large"));
    let announced =
        b"POST /student-progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388609\r\n\r\n"
            .to_vec();
    cases.push(case("8 MiB and a byte announced", announced, 413, "body-too-large"));
    for length in ["-1", "x", "1, 2", "99999999999999999999999", ""] {
        let bytes = format!(
            "POST /student-progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: \
                 {length}\r\n\r\n{{}}"
        );
        cases.push(case(format!("a length of {length:?}"), bytes.into_bytes(), 400, ""));
    }
    let both = format!(
        "POST /student-progress HTTP/1.1\r\nHost: localhost\r\nConnection: \
             close\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{parts}"
    );
    cases.push(case("a length and chunks", both.into_bytes(), 200, ""));
    let expect = request("POST", "/student-progress", &[JSON, "Expect: 100-continue"], &good());
    cases.push(case("Expect: 100-continue", expect, 200, ""));
    for (what, bytes) in [
        ("no request", "hello\r\n\r\n".to_owned()),
        ("a header without a name", "GET /healthz HTTP/1.1\r\n: x\r\n\r\n".to_owned()),
        ("a header with a NUL", "GET /healthz HTTP/1.1\r\nA: \0\r\n\r\n".to_owned()),
        ("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01".to_owned() + &"x".repeat(300) + "\r\n\r\n"),
    ] {
        cases.push(case(what, bytes.into_bytes(), 400, ""));
    }
    // Closed without a word, as hyper has it.
    cases.push(case("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 0, ""));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    cases.push(case("a path of 70 KB", long.into_bytes(), 431, ""));
    let fat = format!("GET /healthz HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(70_000));
    cases.push(case("a header of 70 KB", fat.into_bytes(), 431, ""));
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
    cases.push(case("200 headers", many.into_bytes(), 431, ""));
    cases
}

fn route_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
        for path in ["/student-progress", "/api/v1/events", "/cell-monitor"] {
            cases.push(case(
                format!("{method} {path}"),
                request(method, path, &[], b""),
                405,
                "method-not-allowed",
            ));
        }
    }
    for path in ["/healthz", "/readyz", "/ws/connect", "/api/class/stream"] {
        for method in ["POST", "DELETE"] {
            cases.push(case(
                format!("{method} {path}"),
                request(method, path, &[], b""),
                405,
                "method-not-allowed",
            ));
        }
    }
    for path in [
        "/nothing",
        "/student-progress/x",
        "//student-progress",
        "/api",
        "/api/v1",
        "/ws",
        "/%2e%2e/etc/passwd",
        "/healthz/x",
        "/student%2Dprogress2",
    ] {
        cases.push(case(format!("GET {path}"), request("GET", path, &[], b""), 404, "not-found"));
        cases.push(case(
            format!("POST {path}"),
            request("POST", path, &[JSON], b"[]"),
            404,
            "not-found",
        ));
    }
    for path in ["/student-progress", "/api/v1/events", "/cell-monitor"] {
        cases.push(case(format!("OPTIONS {path}"), request("OPTIONS", path, &[], b""), 204, ""));
    }
    cases.push(case("HEAD /healthz", request("HEAD", "/healthz", &[], b""), 200, ""));
    cases.push(case("HEAD /readyz", request("HEAD", "/readyz", &[], b""), 200, ""));
    cases.push(case(
        "POST /cell-monitor of anything",
        request("POST", "/cell-monitor", &["Content-Type: text/html"], b"\xff"),
        204,
        "",
    ));
    let stream = |query: &str, headers: &[&str]| {
        request("GET", &format!("/api/class/stream{query}"), headers, b"")
    };
    let long = format!("?class={}", "x".repeat(201));
    let classes =
        format!("?{}", (0..65).map(|n| format!("class=c{n}")).collect::<Vec<_>>().join("&"));
    for query in ["?class=", "?class=a%00", "?class=a&class=%0A", &long, &classes] {
        cases.push(case(
            format!("GET /api/class/stream{query}"),
            stream(query, &[]),
            400,
            "bad-parameter",
        ));
    }
    for origin in
        ["http://evil.example", "null", "http://localhost.evil.example", "http://localhost:1"]
    {
        let header = format!("Origin: {origin}");
        cases.push(case(header.clone(), stream("", &[&header]), 403, "origin-not-allowed"));
    }
    for host in
        ["evil.example", "10.1.2.3", "localhost.evil.example", "127.0.0.1.evil.example:8000"]
    {
        let bytes =
            format!("GET /api/class/stream HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        cases.push(case(format!("Host: {host}"), bytes.into_bytes(), 403, "host-not-allowed"));
    }
    cases.push(case(
        "no Host",
        b"GET /api/class/stream HTTP/1.0\r\n\r\n".to_vec(),
        403,
        "host-not-allowed",
    ));
    for (query, status, problem) in [
        ("?class=", 200, ""),
        ("?class=+", 200, ""),
        ("?class=%00", 422, "events-rejected"),
        (&long, 422, "events-rejected"),
    ] {
        let bytes = request(
            "POST",
            &format!("/student-progress{query}"),
            &[JSON],
            event_with(&[]).as_bytes(),
        );
        cases.push(case(format!("POST {query}"), bytes, status, problem));
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_has_its_answer_and_harms_no_other() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let cases: Vec<Case> =
        [body_cases(), header_cases(), route_cases()].into_iter().flatten().collect();
    assert!(cases.len() >= 120, "{} cases", cases.len());
    let mut good = relay.connection().await;
    for Case { what, bytes, status, problem } in cases {
        let what: String = what.chars().take(120).collect();
        let (got, head, body) = raw(&relay, &what, &bytes).await;
        assert_eq!(got, status, "{what}: {head}\n{body}");
        if !problem.is_empty() && !bytes.starts_with(b"HEAD") {
            assert!(head.contains("content-type: application/problem+json"), "{what}: {head}");
            let answer: Value = serde_json::from_str(&body)
                .unwrap_or_else(|error| panic!("{what}: {error}: {body}"));
            assert_eq!(problem_type(&answer), problem, "{what}: {answer}");
            assert_eq!(answer["status"], status, "{what}: {answer}");
            assert!(
                answer["title"].is_string() && answer["detail"].is_string(),
                "{what}: {answer}"
            );
        }
        if problem == "method-not-allowed" {
            assert!(head.contains("\r\nallow: "), "{what}: {head}");
        }
        let ingest = [&b"/student-progress"[..], b"/api/v1/events", b"/cell-monitor"];
        let path = bytes.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
        if got >= 200 && ingest.contains(&path) && !problem.is_empty() {
            assert!(head.contains("access-control-allow-origin: *"), "{what}: {head}");
        }
        let response =
            good.post_json("/student-progress", event_with(&[])).await.expect("an answer");
        assert_eq!(response.status, 200, "after {what}");
    }
}

#[tokio::test]
async fn a_preflight_is_answered_as_browsers_ask() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let headers = [
        "Origin: https://hub.example",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: content-type, x-anything",
        "Access-Control-Request-Private-Network: true",
    ];
    let (status, head, body) =
        raw(&relay, "a preflight", &request("OPTIONS", "/api/v1/events", &headers, b"")).await;
    assert_eq!((status, &*body), (204, ""));
    for header in [
        "access-control-allow-origin: https://hub.example",
        "access-control-allow-credentials: true",
        "vary: origin",
        "access-control-allow-headers: content-type, x-anything",
        "access-control-allow-methods: post",
        "access-control-max-age: 7200",
        "access-control-allow-private-network: true",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
}

/// A body that does not come, and one that stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_body_is_given_up() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--request-timeout", "1s"]).await;
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let head =
        b"POST /student-progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n[";
    stream.write_all(head).await.expect("sent");
    let mut answer = Vec::new();
    within("the answer's end", stream.read_to_end(&mut answer)).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body-too-slow"), "{answer}");
}

/// Beyond the cap a client is told so, in a way that it understands; a place that is given up is
/// there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_cap_are_refused_in_words() {
    use progress_relay::client::ws::Frame;

    let database = Database::new().await;
    let relay = Relay::start(&database, &["--max-connections", "8"]).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(relay.subscribe(&["default"], None).await);
    }
    let mut refused = relay.connection().await;
    let response =
        refused.post_json("/student-progress", event_with(&[])).await.expect("an answer");
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    let problem: Value = response.json().expect("a problem");
    assert_eq!(problem_type(&problem), "too-many-connections");
    let mut subscriber = relay.subscribe(&["default"], None).await;
    match within("the refusal", subscriber.next()).await.expect("a frame") {
        Frame::Closed { code, .. } => assert_eq!(code, Some(1013)),
        other => panic!("{other:?}"),
    }
    drop((held, refused, subscriber));
    crate::support::until("places to be free again", || async {
        let mut connection = relay.connection().await;
        let response = connection.post_json("/student-progress", event_with(&[])).await.ok()?;
        (response.status == 200).then_some(())
    })
    .await;
}

/// Large bodies share a budget: when it is used up, small ones pass all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_keep_no_small_one_out() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--queue-bytes", "1MiB"]).await;
    let mut hogs = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
        let head = b"POST /student-progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: \
             8000000\r\n\r\n";
        stream.write_all(head).await.expect("sent");
        stream.write_all(&vec![b' '; 500_000]).await.expect("sent");
        hogs.push(stream);
    }
    let large = format!("[{}]", " ".repeat(900_000));
    let mut connection = relay.connection().await;
    crate::support::until("the budget to be used up", || async {
        let mut connection = relay.connection().await;
        let response =
            connection.post_json("/student-progress", large.clone()).await.expect("an answer");
        let problem: Value = response.json().expect("an answer");
        (response.status == 503 && problem_type(&problem) == "too-many-large-bodies").then_some(())
    })
    .await;
    let response =
        connection.post_json("/student-progress", event_with(&[])).await.expect("an answer");
    assert_eq!(response.status, 200);
    drop(hogs);
    crate::support::until("the budget to be free again", || async {
        let mut connection = relay.connection().await;
        let response =
            connection.post_json("/student-progress", large.clone()).await.expect("an answer");
        (response.status == 200).then_some(())
    })
    .await;
}
