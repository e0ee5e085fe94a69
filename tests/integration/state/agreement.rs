//! Every replica, every snapshot and every dashboard agrees on the state of a class.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use progress_relay::client::BaseUrl;
use progress_relay::client::http::Connection;
use progress_relay::event::Micros;
use progress_relay::state::ClassState;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::{check, newest, saved};
use crate::support::class::{
    cursor_id, fold, fold_all, micros, random_act, random_event, random_settings, state_of,
    summary_of, without_times,
};
use crate::support::page_fold::PageFold;
use crate::support::{Database, Follower, PATIENCE, Relay, run, until};

const WHOLE: &str = "/api/class/summary?include=grid,activity&class=";

/// A replica's summary, which must be answered at once.
async fn summary(relay: &Relay, class: &str) -> Value {
    let response =
        relay.connection().await.get(&format!("{WHOLE}{class}")).await.expect("an answer");
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    response.json().expect("a summary")
}

/// The number of events of a test: `RELAY_TEST_EVENTS`, or this default.
fn how_many(default: usize) -> usize {
    std::env::var("RELAY_TEST_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Posts random events in random batches until `stop` or until `left` is used up. Each batch is
/// sent again until it is stored.
async fn post_random(
    urls: Urls,
    class: &'static str,
    left: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        let count = fastrand::usize(1..40);
        if left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count))
            .is_err()
        {
            return;
        }
        let mut events: Vec<Value> = (0..count).map(|_| random_event(class, 60)).collect();
        if fastrand::bool() {
            // A run that is sent again with another id, as old clients do.
            let mut again = events[0].clone();
            again["eventId"] = uuid::Uuid::new_v4().to_string().into();
            events.push(again);
        }
        let body = Value::Array(events).to_string();
        loop {
            let Ok(mut connection) = Connection::open(&urls.any()).await else { continue };
            match connection.post_json("/student-progress", body.clone()).await {
                Ok(response) if response.status == 200 => break,
                _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    }
}

/// Inserts random events and acts with SQL. Now and then some are received hours or days later than
/// all before them, so that a lesson begins; those that the relays store meanwhile are of the day.
async fn insert_random(client: Client, class: &'static str, left: Arc<AtomicUsize>) {
    const INSERT: &str = "INSERT INTO progress_event (event_id, class_id, student_id, \
         occurred_at, received_at, body) \
        SELECT gen_random_uuid(), $1, value ->> 'userId', now(), \
               clock_timestamp() + $3::bigint * interval '1 second', value FROM \
        json_array_elements($2::text::json) AS e(value)";
    let mut ahead = 0;
    loop {
        if fastrand::u8(..30) == 0 {
            ahead += [3 * 3_600, 6 * 3_600 + 60, 24 * 3_600][fastrand::usize(..3)];
        }
        let count = fastrand::usize(1..40);
        if left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count))
            .is_err()
        {
            return;
        }
        let any = || match fastrand::u8(..100) {
            0 => random_act(class, 60),
            _ => random_event(class, 60),
        };
        let events = Value::Array((0..count).map(|_| any()).collect()).to_string();
        let ahead: i64 = if fastrand::bool() { ahead } else { 0 };
        client.execute(INSERT, &[&class, &events, &ahead]).await.expect("an insert");
    }
}

/// Acts as instructors do, on any replica, until `stop`. A replica that is killed meanwhile, a hand
/// that is down, and settings that another instructor has changed are no failures.
async fn act_randomly(urls: Urls, class: &'static str, stop: Arc<AtomicBool>) {
    let mut version = String::from("\"0\"");
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(5..100))).await;
        let student = format!("s{:03}", fastrand::usize(..60));
        let help = format!("/api/class/students/{student}/help");
        let (method, path, body) = match fastrand::u8(..20) {
            0 => ("POST", "/api/class/lessons".to_owned(), json!({"title": "Next"})),
            1..4 => ("PUT", "/api/class/settings".to_owned(), random_settings()),
            4..7 => ("POST", "/api/class/viewing".to_owned(), json!({"student": student})),
            7..12 => ("POST", format!("{help}/claim"), json!({"by": "Ito"})),
            12..16 => ("DELETE", format!("{help}/claim"), json!({})),
            _ => ("POST", format!("{help}/resolve"), json!({})),
        };
        let Ok(mut connection) = Connection::open(&urls.any()).await else { continue };
        let mut headers = vec![("content-type", "application/json")];
        if method == "PUT" && fastrand::bool() {
            headers.push(("if-match", &version));
        }
        let path = format!("{path}?class={class}");
        let asked = connection.request(method, &path, &headers, body.to_string().into()).await;
        let Ok(answer) = asked else { continue };
        let status = answer.status.as_u16();
        assert!([200, 404, 412, 503].contains(&status), "{method} {path}: {status}");
        if method == "PUT" && status == 200 {
            let body: Value = answer.json().expect("JSON");
            version = format!("\"{}\"", body["version"].as_str().unwrap_or("0"));
        }
    }
}

/// The URLs of the running relays.
#[derive(Clone, Default)]
struct Urls(Arc<Mutex<Vec<BaseUrl>>>);

impl Urls {
    fn set(&self, relays: &[Relay]) {
        *self.0.lock().expect("urls") = relays.iter().map(|relay| relay.url.clone()).collect();
    }

    fn any(&self) -> BaseUrl {
        let urls = self.0.lock().expect("urls");
        urls[fastrand::usize(..urls.len())].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_agree_though_the_leader_is_killed_twice() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let mut relays = Vec::new();
    for _ in 0..3 {
        relays.push(Relay::start(&database, &[]).await);
    }
    let urls = Urls::default();
    urls.set(&relays);
    let (left, stop) =
        (Arc::new(AtomicUsize::new(how_many(12_000))), Arc::new(AtomicBool::new(false)));
    let mut writers = JoinSet::new();
    for _ in 0..3 {
        writers.spawn(post_random(urls.clone(), "r", Arc::clone(&left), Arc::clone(&stop)));
    }
    writers.spawn(insert_random(database.client().await, "r", Arc::clone(&left)));
    let mut instructors = JoinSet::new();
    for _ in 0..2 {
        instructors.spawn(act_randomly(urls.clone(), "r", Arc::clone(&stop)));
    }
    for _ in 0..2 {
        let leads = |relay: &Relay| relay.terms_as_leader() > 0;
        let leader = until("a leader", || async { relays.iter().position(leads) }).await;
        relays.remove(leader).kill().await;
        relays.push(Relay::start(&database, &[]).await);
        urls.set(&relays);
    }
    joined(writers).await;
    stop.store(true, Ordering::Relaxed);
    joined(instructors).await;

    let newest = newest(&client).await;
    let mut expected = ClassState::default();
    let mut follower =
        Follower::new(&relays[0].url, &["r"], Some(&first_cursor(&client).await)).await;
    while cursor_id(follower.cursor.as_deref().expect("a cursor")) < newest {
        assert!(follower.step().await, "the connection was lost");
    }
    fold_all(&mut expected, &follower.events);
    let expected = without_times(summary_of(&mut expected, Micros(0)));
    for relay in &relays {
        let summary = summary(relay, "r").await;
        assert!(cursor_id(summary["cursor"].as_str().expect("a cursor")) >= newest);
        assert!(without_times(summary) == expected, "a replica differs");
    }
    let mut page = PageFold::start();
    let events: Vec<String> = follower.events.iter().map(Value::to_string).collect();
    let (page_summary, again) = page.fold(&events, Micros(0), events.len() / 2);
    assert!(without_times(page_summary) == expected, "the page differs");
    assert_eq!(again, json!([]), "the page that takes a summary differs");
    page.end();
    saved(&client).await;
    let checked = check(&database).await;
    assert!(checked.contains(&format!("{} events", follower.events.len())), "{checked}");
}

/// Waits for tasks, none of which may fail.
async fn joined(mut tasks: JoinSet<()>) {
    while let Some(task) = tasks.join_next().await {
        task.expect("a task that ends");
    }
}

/// The cursor before the first event.
async fn first_cursor(client: &Client) -> String {
    let epoch: String =
        client.query_one("SELECT progress_epoch()", &[]).await.expect("an epoch").get(0);
    format!("{epoch}.0")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_folded_forward_is_the_next_summary() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    let (left, stop) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(AtomicBool::new(false)));
    let mut writers = JoinSet::new();
    let urls = Urls::default();
    urls.set(&relays);
    for _ in 0..2 {
        writers.spawn(post_random(urls.clone(), "f", Arc::clone(&left), Arc::clone(&stop)));
    }
    for round in 0..how_many(40).min(1_000) {
        let relay = &relays[round % 2];
        let before = summary(relay, "f").await;
        let mut state = state_of(&before);
        let mut follower = Follower::new(&relay.url, &["f"], before["cursor"].as_str()).await;
        let after = summary(&relays[fastrand::usize(..2)], "f").await;
        let end = cursor_id(after["cursor"].as_str().expect("a cursor"));
        while cursor_id(follower.cursor.as_deref().expect("a cursor")) < end {
            assert!(follower.step().await, "the connection was lost");
        }
        for event in follower.events.iter().filter(|event| event["id"].as_i64() <= Some(end)) {
            fold(&mut state, event);
        }
        let folded = summary_of(&mut state, micros(&after["now"]));
        for part in ["students", "metrics", "cells", "grid", "activity"] {
            assert!(folded[part] == after[part], "round {round}: {part} differ");
        }
    }
    stop.store(true, Ordering::Relaxed);
    joined(writers).await;
}

#[tokio::test]
async fn the_last_snapshot_is_written_at_the_drain_and_read_at_the_start() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let mut relay = Relay::start(&database, &[]).await;
    let events: Vec<Value> = (0..200).map(|_| random_event("d", 20)).collect();
    relay.post(&events.into()).await;
    let before = without_times(summary(&relay, "d").await);
    relay.signal(Signal::SIGTERM);
    assert!(relay.ended(PATIENCE).await.success());
    let newest = newest(&client).await;
    let through: i64 =
        client.query_one("SELECT through_id FROM state_through", &[]).await.expect("a row").get(0);
    assert_eq!(through, newest);
    check(&database).await;
    // The events are deleted as retention does it, which keeps the state. The class then comes from
    // the snapshot alone.
    client
        .batch_execute("SET progress_relay.pruning = on; DELETE FROM progress_event")
        .await
        .expect("an empty table");
    let relay = Relay::start(&database, &[]).await;
    assert!(without_times(summary(&relay, "d").await) == before);
}

#[tokio::test]
async fn a_class_is_loaded_from_the_table_when_there_is_no_snapshot() {
    let database = Database::migrated().await;
    let client = database.client().await;
    client
        .batch_execute(
            "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body)
             SELECT gen_random_uuid(), 'c' || n % 3, 's' || n % 50, now(),
                    json_build_object('eventType', 'cell_executed', 'cellId', 'x',
                                      'executionCount', n)
             FROM generate_series(1, 30000) AS n",
        )
        .await
        .expect("a filled table");
    let relay = Relay::start(&database, &[]).await;
    let summary = summary(&relay, "c1").await;
    assert_eq!(summary["metrics"]["cellsExecuted"], 10_000);
    // The leader loads the other classes, which no request named.
    saved(&client).await;
    let rows = client
        .query("SELECT class_id, events, students FROM class_state ORDER BY class_id", &[])
        .await
        .expect("rows");
    let rows: Vec<(String, i64, i64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let all = ["c0", "c1", "c2"].map(|class| (class.to_owned(), 10_000, 50));
    assert_eq!(rows, all);
    check(&database).await;
}

#[tokio::test]
async fn a_snapshot_that_was_tampered_with_is_found_and_rebuilt() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relay = Relay::start(&database, &[]).await;
    let events: Vec<Value> = (0..300).map(|_| random_event("t", 10)).collect();
    relay.post(&events.into()).await;
    saved(&client).await;
    client
        .batch_execute(
            "UPDATE student_state SET cells_executed = cells_executed + 1 WHERE student_id = 's001';
             DELETE FROM cell_state WHERE cell_id = 'cell-3';
             INSERT INTO activity_state VALUES ('t', '2026-01-01', 1, 1, 1)",
        )
        .await
        .expect("an update");
    let url = database.url();
    let checked = run(&["rebuild-state", "--check"], &[("DATABASE_URL", &url)]).await;
    assert_eq!(checked.code, Some(1), "{}", checked.stdout);
    for word in
        ["student_state \"s001\" is not as", "\"cell-3\" is missing", "activity_state 2026-01-01"]
    {
        assert!(checked.stdout.contains(word), "{word}: {}", checked.stdout);
    }
    let rebuilt = run(&["rebuild-state", "--class", "t"], &[("DATABASE_URL", &url)]).await;
    assert_eq!(rebuilt.code, Some(0), "{}{}", rebuilt.stdout, rebuilt.stderr);
    assert!(rebuilt.stdout.contains("were rebuilt"), "{}", rebuilt.stdout);
    check(&database).await;
    // The relay continues to write snapshots from its memory.
    relay.post(&random_event("t", 10)).await;
    saved(&client).await;
    check(&database).await;
}

#[tokio::test]
async fn another_epoch_drops_the_state_in_memory() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&random_event("e", 1)).await;
    let before = summary(&relay, "e").await;
    saved(&client).await;
    let renewed =
        run(&["migrate"], &[("DATABASE_URL", &database.url()), ("RELAY_NEW_EPOCH", "1")]).await;
    assert_eq!(renewed.code, Some(0), "{}", renewed.stderr);
    relay.post(&random_event("e", 1)).await;
    let after = until("the new epoch", || async {
        let after = summary(&relay, "e").await;
        (after["cursor"].as_str()?[..12] != before["cursor"].as_str()?[..12]).then_some(after)
    })
    .await;
    assert_eq!(after["metrics"]["students"], 1);
    // The snapshot is written under the new nonce.
    saved(&client).await;
    until("a snapshot of the new epoch", || async {
        let same = "SELECT FROM class_state JOIN progress_log USING (nonce) WHERE events = 2";
        (client.query(same, &[]).await.ok()?.len() == 1).then_some(())
    })
    .await;
    check(&database).await;
}
