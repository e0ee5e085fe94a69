//! `make cost`: the cost of a summary while the history of its class grows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::{Database, Relay};

/// How many dashboards ask at once, and how often.
const DASHBOARDS: usize = 100;
const ROUNDS: usize = 50;
const STUDENTS: usize = 200;

/// Fills the history of a class, with a few thousand events per second of it.
async fn fill(database: &Database, events: usize) {
    const PORTION: usize = 250_000;
    let client = database.client().await;
    for from in (0..events).step_by(PORTION) {
        let to = (from + PORTION).min(events);
        let insert = format!(
            "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body)
             SELECT gen_random_uuid(), 'cost', 's' || n % {STUDENTS}, now(), json_build_object(
               'eventType', 'cell_executed', 'userName', 'Student ' || n % {STUDENTS},
               'sessionId', 'k', 'notebookPath', 'lesson.ipynb',
               'cellId', 'c' || n / {STUDENTS} % 30, 'cellIndex', n / {STUDENTS} % 30,
               'executionCount', n, 'hasError', n % 5 = 0, 'errorMessage', 'E' || n % 30,
               'code', repeat('x = 6*7 ', 20))
             FROM generate_series({from}, {to} - 1) AS n"
        );
        client.batch_execute(&insert).await.expect("a filled table");
    }
}

/// Posts a thousand events per second until it is dropped.
async fn post_steadily(relay: Arc<Relay>) {
    let mut connection = relay.connection().await;
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for n in 0.. {
        tick.tick().await;
        let events: Vec<Value> = (0..10)
            .map(|i| {
                json!({
                    "eventId": uuid::Uuid::new_v4().to_string(),
                    "eventType": "cell_executed",
                    "classId": "cost",
                    "eventTime": "2026-11-24T00:00:00Z",
                    "userId": format!("s{}", fastrand::usize(..STUDENTS)),
                    "notebookPath": "lesson.ipynb",
                    "cellId": format!("c{i}"),
                    "executionCount": 10 * n + i,
                })
            })
            .collect();
        connection
            .post_json("/student-progress", Value::Array(events).to_string())
            .await
            .expect("an answer");
    }
}

/// All dashboards ask at once, again and again. Returns how long each request took.
async fn ask_at_once(relay: &Arc<Relay>) -> Vec<Duration> {
    let barrier = Arc::new(Barrier::new(DASHBOARDS));
    let mut asking = JoinSet::new();
    for _ in 0..DASHBOARDS {
        let (relay, barrier) = (Arc::clone(relay), Arc::clone(&barrier));
        asking.spawn(async move {
            let mut connection = relay.connection().await;
            let mut took = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                barrier.wait().await;
                let began = Instant::now();
                let response = connection
                    .request(
                        "GET",
                        "/api/class/summary?class=cost",
                        &[("accept-encoding", "gzip")],
                        Bytes::new(),
                    )
                    .await
                    .expect("an answer");
                assert_eq!(response.status, 200);
                took.push(began.elapsed());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            took
        });
    }
    let mut took: Vec<Duration> = asking.join_all().await.into_iter().flatten().collect();
    took.sort_unstable();
    took
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: make cost"]
async fn a_summary_costs_the_same_whatever_the_history() {
    println!("history, events | kept after | ready after | first summary | 100 at once, p50 | p99");
    let mut medians = Vec::new();
    for events in [5_000, 500_000, 5_000_000] {
        let database = Database::migrated().await;
        fill(&database, events).await;
        let began = Instant::now();
        let relay = Relay::start(&database, &["--log", "warn"]).await;
        let client = database.client().await;
        // This takes longer than PATIENCE, because the whole table is
        // read once.
        loop {
            let row =
                client.query_one("SELECT through_id FROM state_through", &[]).await.expect("a row");
            if row.get::<_, i64>(0) as usize >= events {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(600), "the snapshots do not come");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let kept = began.elapsed();
        relay.kill().await;
        let began = Instant::now();
        let relay = Arc::new(Relay::start(&database, &["--log", "warn"]).await);
        let ready = began.elapsed();
        let began = Instant::now();
        let first =
            relay.connection().await.get("/api/class/summary?class=cost").await.expect("an answer");
        assert_eq!(first.status, 200);
        let first = began.elapsed();
        let posting = tokio::spawn(post_steadily(Arc::clone(&relay)));
        ask_at_once(&relay).await;
        let took = ask_at_once(&relay).await;
        posting.abort();
        let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
        println!("{events} | {kept:.1?} | {ready:.1?} | {first:.1?} | {p50:.1?} | {p99:.1?}");
        medians.push(p50);
        if events <= 500_000 {
            continue;
        }
        assert!(ready < Duration::from_secs(2), "ready after {ready:?}");
    }
    assert!(medians[2] < medians[0].mul_f64(1.2) + Duration::from_millis(1), "{medians:?}");
}
