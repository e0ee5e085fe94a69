//! What real clients sent, replayed.

use bytes::Bytes;
use progress_relay::http::client::http::{Connection, Response};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::{Database, Relay};

#[derive(Deserialize)]
struct Captured {
    method: String,
    path: String,
    headers: Map<String, Value>,
    body: String,
}

fn captured(text: &str) -> Vec<Captured> {
    text.lines().map(|line| serde_json::from_str(line).expect("a captured request")).collect()
}

async fn replay(connection: &mut Connection, request: &Captured) -> Response {
    let headers: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (&**name, value.as_str().expect("text"))).collect();
    let body = Bytes::from(request.body.clone());
    connection.request(&request.method, &request.path, &headers, body).await.expect("an answer")
}

/// Replays all of it and follows what comes of it with `tail`.
async fn replay_and_follow(text: &str) {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut connection = relay.connection().await;
    let mut sent: Vec<Value> = Vec::new();
    let mut first_cursor = None;
    for request in captured(text) {
        let response = replay(&mut connection, &request).await;
        let what = format!("{} {} {}", request.method, request.path, request.body);
        assert!(response.status.is_success(), "{what}: {}", response.status);
        assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{what}");
        if request.method == "OPTIONS" {
            assert_eq!(response.status, 204, "{what}");
            assert_eq!(response.header("access-control-max-age"), Some("7200"), "{what}");
            let allowed = response.header("access-control-allow-headers").expect("a header");
            assert!(allowed.contains("content-type"), "{what}: {allowed}");
            let methods = response.header("access-control-allow-methods").expect("a header");
            assert!(methods.contains("POST"), "{what}: {methods}");
        } else if request.path == "/cell-monitor" {
            assert_eq!(response.status, 204, "{what}");
        } else {
            let answer: Value = response.json().expect("an answer");
            let events: Vec<Value> = serde_json::from_str(&request.body).expect("an array");
            for event in events {
                if !sent.iter().any(|known| known["eventId"] == event["eventId"]) {
                    sent.push(event);
                }
            }
            first_cursor.get_or_insert_with(|| answer["cursor"].as_str().expect("a cursor").to_owned());
        }
    }
    assert!(sent.len() >= 3, "the capture has events");

    // From before the first of them.
    let cursor = first_cursor.expect("an event was stored");
    let (epoch, id) = cursor.split_once('.').expect("a cursor");
    let before = format!("{epoch}.{}", id.parse::<i64>().expect("an id") - 1);
    let lines = relay.tail_json("default", &before, sent.len()).await;
    let count: i64 = database
        .client()
        .await
        .query_one("SELECT count(*) FROM progress_event", &[])
        .await
        .expect("a count")
        .get(0);
    assert_eq!(usize::try_from(count), Ok(sent.len()), "each distinct event once, and nothing else");
    for (line, event) in lines.iter().zip(&sent) {
        let mut line = line.as_object().expect("an object").clone();
        for added in ["id", "classId", "studentId", "receivedAt", "cursor"] {
            assert!(line.remove(added).is_some(), "{added} in {line:?}");
        }
        assert_eq!(&Value::Object(line), event);
    }
}

#[tokio::test]
async fn cell_monitor_1_1_4() {
    replay_and_follow(include_str!("../captures/cell-monitor-1.1.4.jsonl")).await;
}

#[tokio::test]
async fn cell_monitor_0_1_0() {
    replay_and_follow(include_str!("../captures/cell-monitor-0.1.0.jsonl")).await;
}

/// A shape that is not understood yet: refused, and neither stored nor logged, since it can carry a whole environment.
#[tokio::test]
async fn jupyterlab_pioneer_is_refused() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--log", "trace"]).await;
    let mut connection = relay.connection().await;
    for request in captured(include_str!("../captures/jupyterlab-pioneer-1.7.3.jsonl")) {
        let response = replay(&mut connection, &request).await;
        assert_eq!(response.status, 422);
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        let problem: Value = response.json().expect("a problem");
        assert_eq!(problem["rejected"][0]["field"], "eventId");
    }
    let rows = database.client().await.query("SELECT FROM progress_event", &[]).await.expect("an answer");
    assert!(rows.is_empty());
    assert!(!relay.log().contains("hubuser1"), "what was sent is in the log");
}
