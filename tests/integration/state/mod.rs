//! The state of a class: the same on every replica, in the snapshots and at a dashboard.

// What instructors ask for at once, and what no page asks for.
mod acts;
// Every replica, every snapshot and every dashboard agrees on the state of a class.
mod agreement;
// Random events for both folds.
mod hostile_events;
// One elected replica writes the snapshots, and another one follows when it freezes or vanishes.
mod leader;
// Lessons, settings and the acts of instructors, on every replica and after a restart.
mod lessons;
// The relay's fold and the page's make the same of anything.
mod two_folds;
// Settings: changed at once, under load, and of any size and form.
mod settings;
// A snapshot equals the fold of its events, also after the epoch, the table or the leader changed.
mod snapshots;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use progress_relay::client::http::Connection;
use progress_relay::event::{Micros, StoredEvent};
use progress_relay::state::ClassState;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::class::{cursor_id, random_event, summary_of, without_times};
use crate::support::{Database, Relay, run, until};

/// A run of a cell by a student.
fn event_of(class: &str, student: &str, cell: usize) -> Value {
    let mut event = random_event(class, 1);
    event["eventType"] = "cell_executed".into();
    event["cellType"] = "code".into();
    event["userId"] = student.into();
    event["cellId"] = format!("cell-{cell}").into();
    event["executionCount"] = json!(fastrand::u32(..));
    event
}

/// The fold of a class's events in the table.
async fn from_table(client: &Client, class: &str) -> Value {
    let sql = "SELECT id, student_id, (extract(epoch FROM received_at) * 1000000)::bigint, \
         body::text \
         FROM progress_event WHERE class_id = $1 ORDER BY id";
    let mut state = ClassState::default();
    let rows = client.query(sql, &[&class]).await.expect("events");
    let mut at = 0;
    while let Some(row) = rows.get(at) {
        let (student, body): (&str, &str) = (row.get(1), row.get(3));
        let received_at = Micros(row.get(2));
        state.fold(&StoredEvent { id: row.get(0), class, student, received_at, body });
        at += 1;
        if state.needs_refold() {
            let after = state.begin_refold().0;
            at = rows.partition_point(|row| row.get::<_, i64>(0) <= after);
        }
    }
    without_times(summary_of(&mut state, Micros(0)))
}

/// A replica's summary, requested again until the answer is 200.
async fn summary(relay: &Relay, class: &str) -> Value {
    let path = format!("/api/class/summary?include=grid,activity&class={class}");
    until("a summary", || async {
        let response = relay.connection().await.get(&path).await.ok()?;
        (response.status == 200).then(|| response.json().expect("a summary"))
    })
    .await
}

/// Asserts that every replica, a replica that starts now and the snapshots equal the fold of the
/// table's events in each class.
async fn all_agree(database: &Database, relays: &[&Relay], classes: &[&str]) {
    let client = database.client().await;
    saved(&client).await;
    let fresh = Relay::start(database, &[]).await;
    let newest = newest(&client).await;
    for class in classes {
        let expected = from_table(&client, class).await;
        for (index, relay) in relays.iter().copied().chain([&fresh]).enumerate() {
            let summary = until("a summary of the newest event", || async {
                let summary = summary(relay, class).await;
                (cursor_id(summary["cursor"].as_str()?) >= newest).then_some(summary)
            })
            .await;
            let found = without_times(summary);
            let counts =
                [&found, &expected].map(|state| state["students"].as_array().map(Vec::len));
            assert!(
                found == expected,
                "replica {index} differs in class {class}: students {counts:?}"
            );
        }
    }
    check(database).await;
}

/// The output of `rebuild-state --check`, which must find no difference.
async fn check(database: &Database) -> String {
    let checked = run(&["rebuild-state", "--check"], &[("DATABASE_URL", &database.url())]).await;
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    checked.stdout
}

/// The id of the newest event, or 0.
async fn newest(client: &Client) -> i64 {
    client
        .query_one("SELECT coalesce(max(id), 0) FROM progress_event", &[])
        .await
        .expect("an id")
        .get(0)
}

/// Waits until the snapshots of the current nonce hold every event that is stored now.
async fn saved(client: &Client) {
    let newest = newest(client).await;
    until("the snapshots", || async {
        let sql = "SELECT through_id FROM state_through JOIN progress_log USING (nonce)";
        let row = client.query_opt(sql, &[]).await.expect("an answer")?;
        (row.get::<_, i64>(0) >= newest).then_some(())
    })
    .await;
}

/// Posts events of a class about 20 times a second until `stop`. Each is sent again until it is
/// stored.
fn post_on(
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

/// Stores four events for each of so many students of each class.
async fn fill(relay: &Relay, classes: &[&str], students: usize) {
    for class in classes {
        let events: Vec<Value> = (0..students * 4)
            .map(|n| event_of(class, &format!("s{}", n % students), n % 7))
            .collect();
        relay.post(&events.into()).await;
    }
}

/// The process id of the backend that holds the leader's lock.
async fn leading_backend(client: &Client) -> i32 {
    let sql = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted \
         AND classid = x'70726c64'::int::bigint::oid \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until("a leader's lock", || async { Some(client.query_opt(sql, &[]).await.ok()??.get(0)) })
        .await
}
