//! Requests that are refused as a whole, and unusual ones that are accepted.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{bodies, event_with, headers, problem_type, routes};
use crate::support::{Database, Relay, within};

/// Sends bytes, closes the sending side and reads to the end. Returns the status, the head and the
/// body of the last answer.
async fn raw(relay: &Relay, what: &str, bytes: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    // The relay may answer and close before it has read all bytes.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = within(what, stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    // An interim answer comes before the final one.
    let last = answer.rfind("HTTP/1.").map_or("", |at| &answer[at..]);
    let (head, body) = last.split_once("\r\n\r\n").unwrap_or((last, ""));
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}

pub struct Case {
    what: String,
    bytes: Vec<u8>,
    status: u16,
    /// The type of the problem, or empty if the case does not check it.
    problem: &'static str,
}

pub fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
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

pub fn case(what: impl Into<String>, bytes: Vec<u8>, status: u16, problem: &'static str) -> Case {
    Case { what: what.into(), bytes, status, problem }
}

pub const JSON: &str = "Content-Type: application/json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_has_its_answer_and_harms_no_other() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let cases: Vec<Case> =
        [bodies::cases(), headers::cases(), routes::cases()].into_iter().flatten().collect();
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
