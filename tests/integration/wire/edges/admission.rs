//! Requests that arrive too slowly, on too many connections, or with too many bytes at once.

use progress_relay::client::ws::Frame;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{event_with, problem_type};
use crate::support::{Database, Relay, until, within};

/// A body that stops after its first byte.
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

/// A client beyond the limit of connections gets a refusal that it understands, and the permit of a
/// closed connection is free again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_get_a_problem() {
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
    until("permits to be free again", || async {
        let mut connection = relay.connection().await;
        let response = connection.post_json("/student-progress", event_with(&[])).await.ok()?;
        (response.status == 200).then_some(())
    })
    .await;
}

/// Large bodies share a budget. When the budget is used up, small bodies are still accepted.
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
    until("the budget to be used up", || async {
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
    until("the budget to be free again", || async {
        let mut connection = relay.connection().await;
        let response =
            connection.post_json("/student-progress", large.clone()).await.expect("an answer");
        (response.status == 200).then_some(())
    })
    .await;
}
