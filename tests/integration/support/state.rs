//! Class state as tests compare it: what a replica answers, and what the snapshots hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use progress_relay::event::{Micros, StoredEvent};
use progress_relay::http::client::http::Connection;
use progress_relay::state::ClassState;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::class::{cursor_id, random_event, summary_at};
use super::{Database, Relay, run, until};

/// A summary with all its parts.
const SUMMARY: &str = "/api/class/summary?include=grid,activity&class=";

/// A replica's summary; the replica must be ready to answer.
pub async fn summary(relay: &Relay, class: &str) -> Value {
    let response =
        relay.connection().await.get(&format!("{SUMMARY}{class}")).await.expect("an answer");
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    response.json().expect("a summary")
}

/// A replica's summary, asked for again while the replica is not ready to answer.
pub async fn summary_when_ready(relay: &Relay, class: &str) -> Value {
    until("a summary", || async {
        let response = relay.connection().await.get(&format!("{SUMMARY}{class}")).await.ok()?;
        (response.status == 200).then(|| response.json().expect("a summary"))
    })
    .await
}

/// The parts of a summary that are of one state, without those that the time of asking changes.
pub fn timeless(mut summary: Value) -> Value {
    for student in summary["students"].as_array_mut().expect("students") {
        let student = student.as_object_mut().expect("a student");
        student.remove("status");
        student.remove("statusUntil");
    }
    json!([summary["students"], summary["cells"], summary["grid"], summary["activity"]])
}

/// The id of the newest event; 0 in an empty table.
pub async fn newest(client: &Client) -> i64 {
    client
        .query_one("SELECT coalesce(max(id), 0) FROM progress_event", &[])
        .await
        .expect("an id")
        .get(0)
}

/// Waits until the snapshots hold every event that there is now, under the current nonce.
pub async fn saved(client: &Client) {
    let newest = newest(client).await;
    until("the snapshots", || async {
        let sql = "SELECT through_id FROM state_through JOIN progress_log USING (nonce)";
        let row = client.query_opt(sql, &[]).await.expect("an answer")?;
        (row.get::<_, i64>(0) >= newest).then_some(())
    })
    .await;
}

/// `rebuild-state --check` finds no difference. Returns what it printed.
pub async fn check_snapshots(database: &Database) -> String {
    let checked = run(&["rebuild-state", "--check"], &[("DATABASE_URL", &database.url())]).await;
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    checked.stdout
}

/// An event of a class, of one of its students.
pub fn event_of(class: &str, student: &str, cell: usize) -> Value {
    let mut event = random_event(class, 1);
    event["eventType"] = "cell_executed".into();
    event["userId"] = student.into();
    event["cellId"] = format!("cell-{cell}").into();
    event["executionCount"] = json!(fastrand::u32(..));
    event
}

/// The state that the table's events make of a class.
pub async fn from_table(client: &Client, class: &str) -> Value {
    let sql = "SELECT id, student_id, (extract(epoch FROM received_at) * 1000000)::bigint, \
         body::text \
         FROM progress_event WHERE class_id = $1 ORDER BY id";
    let mut state = ClassState::default();
    for row in client.query(sql, &[&class]).await.expect("events") {
        let (student, body): (&str, &str) = (row.get(1), row.get(3));
        let received_at = Micros(row.get(2));
        state.fold(&StoredEvent { id: row.get(0), class, student, received_at, body });
    }
    timeless(summary_at(&mut state, Micros(0)))
}

/// On every replica, on one that has just been started, and in the snapshots, the state of each
/// class is the one that the table's events make.
pub async fn all_agree(database: &Database, relays: &[&Relay], classes: &[&str]) {
    let client = database.client().await;
    saved(&client).await;
    let fresh = Relay::start(database, &[]).await;
    let newest = newest(&client).await;
    for class in classes {
        let expected = from_table(&client, class).await;
        for (index, relay) in relays.iter().copied().chain([&fresh]).enumerate() {
            let summary = until("a summary of the newest event", || async {
                let summary = summary_when_ready(relay, class).await;
                (cursor_id(summary["cursor"].as_str()?) >= newest).then_some(summary)
            })
            .await;
            let found = timeless(summary);
            let counts = (found[0].as_array().map(Vec::len), expected[0].as_array().map(Vec::len));
            assert!(
                found == expected,
                "replica {index} differs in class {class}: students {counts:?}"
            );
        }
    }
    check_snapshots(database).await;
}

/// Posts an event into a class 20 times a second until told to stop; each is sent until it is
/// stored.
pub fn post_on(
    relay: &Relay,
    class: &'static str,
    stop: &Arc<AtomicBool>,
) -> tokio::task::JoinHandle<()> {
    let (url, stop) = (relay.url.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let body = event_of(class, &format!("s{}", fastrand::u8(..3)), fastrand::usize(..5))
                .to_string();
            while let Ok(mut connection) = Connection::open(&url).await {
                match connection.post_json("/student-progress", body.clone()).await {
                    Ok(response) if response.status == 200 => break,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
}

pub async fn fill(relay: &Relay, classes: &[&str], students: usize) {
    for class in classes {
        let events: Vec<Value> = (0..students * 4)
            .map(|n| event_of(class, &format!("s{}", n % students), n % 7))
            .collect();
        relay.post(&events.into()).await;
    }
}

/// How many times a replica was elected.
pub fn terms(relay: &Relay) -> usize {
    relay.log().matches("is the leader").count()
}

/// The backend that holds the leader's lock.
pub async fn leading_backend(client: &Client) -> i32 {
    let sql = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until("a leader's lock", || async { Some(client.query_opt(sql, &[]).await.ok()??.get(0)) })
        .await
}
