//! `make summary`: a small class at work while dashboards ask for the largest class that the limits
//! allow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Barrier, Mutex};
use tokio::task::JoinSet;

use super::{mib, quantile};
use crate::support::{Database, Follower, Relay, event_of, until};

/// The large class.
const STUDENTS: usize = 10_000;
const CELLS: usize = 500;
const PAIRS: usize = 100_000;
const SUMMARY: &str = "/api/class/summary?class=large&include=cells,grid,activity";
/// The dashboards of the large class. They ask at once, and again this long after the last answer.
const DASHBOARDS: usize = 20;
const PAUSE: Duration = Duration::from_secs(1);
/// Events of the large class during the measurement, so that every summary differs from the one
/// before.
const LARGE_POSTS: u32 = 20;
/// The small class.
const POSTERS: u32 = 10;
const POSTS_PER_SECOND: u32 = 200;
const PHASE: Duration = Duration::from_secs(20);
/// The bound for the small class, and an allowance for a busy machine.
const RATIO: f64 = 2.0;
const SLACK: Duration = Duration::from_millis(1);

/// One run for every student and cell of the large class.
async fn fill(database: &Database) {
    let insert = format!(
        "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body)
         SELECT gen_random_uuid(), 'large', 's' || n % {STUDENTS}, now(), json_build_object(
           'eventType', 'cell_executed', 'userName', 'Student ' || n % {STUDENTS},
           'sessionId', 'k', 'notebookPath', 'lesson.ipynb',
           'cellId', 'c' || (n % {STUDENTS} * 7 + n / {STUDENTS} * 50) % {CELLS},
           'cellIndex', (n % {STUDENTS} * 7 + n / {STUDENTS} * 50) % {CELLS},
           'executionCount', n, 'hasError', n % 5 = 0, 'errorMessage', 'E' || n % 30)
         FROM generate_series(0, {PAIRS} - 1) AS n"
    );
    database.client().await.batch_execute(&insert).await.expect("a filled table");
}

async fn summary(relay: &Relay) -> (Duration, usize) {
    let mut connection = relay.connection().await;
    let began = Instant::now();
    let response = connection
        .request("GET", SUMMARY, &[("accept-encoding", "gzip")], Bytes::new())
        .await
        .expect("an answer");
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    (began.elapsed(), response.body.len())
}

/// All dashboards ask at once, again and again until `stop`. Returns how long each answer took.
async fn ask(relay: &Arc<Relay>, stop: &Arc<AtomicBool>) -> Vec<Duration> {
    let barrier = Arc::new(Barrier::new(DASHBOARDS));
    let mut asking = JoinSet::new();
    for _ in 0..DASHBOARDS {
        let (relay, barrier, stop) = (Arc::clone(relay), Arc::clone(&barrier), Arc::clone(stop));
        asking.spawn(async move {
            let mut took = Vec::new();
            loop {
                barrier.wait().await;
                let is_last = stop.load(Ordering::Relaxed);
                barrier.wait().await;
                if is_last {
                    return took;
                }
                took.push(summary(&relay).await.0);
                barrier.wait().await;
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    let mut took: Vec<Duration> = asking.join_all().await.into_iter().flatten().collect();
    took.sort_unstable();
    took
}

/// Posts to a class at a rate for one phase, each event with the time at which it was due.
async fn post(relay: &Arc<Relay>, class: &'static str, rate: u32, begin: Instant) -> usize {
    let total = rate * PHASE.as_secs() as u32;
    let start = begin.elapsed();
    let mut posters = JoinSet::new();
    for poster in 0..POSTERS {
        let relay = Arc::clone(relay);
        posters.spawn(async move {
            let mut connection = relay.connection().await;
            for n in (poster..total).step_by(POSTERS as usize) {
                let due = start + Duration::from_secs(1) * n / rate;
                tokio::time::sleep(due.saturating_sub(begin.elapsed())).await;
                let mut event = event_of(class, n as usize);
                event["due"] = json!(due.as_micros());
                event["cellId"] = format!("c{}", n as usize % CELLS).into();
                event["executionCount"] = n.into();
                let answer = connection.post_json("/student-progress", event.to_string()).await;
                assert_eq!(answer.expect("an answer").status, 200);
            }
        });
    }
    posters.join_all().await;
    total as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: make summary"]
async fn a_large_class_does_not_slow_a_small_one() {
    let database = Database::migrated().await;
    fill(&database).await;
    let relay = Arc::new(Relay::start(&database, &["--log", "warn"]).await);
    let (first, bytes) = summary(&relay).await;
    println!("the first summary: {first:.1?}, {:.1} MiB compressed", mib(bytes));
    let whole = relay.connection().await.get(SUMMARY).await.expect("an answer");
    let whole: Value = whole.json().expect("JSON");
    let pairs = whole["grid"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["runs"].as_array().map_or(0, Vec::len));
    assert_eq!((whole["students"].as_array().map(Vec::len), pairs.sum()), (Some(STUDENTS), PAIRS));

    let begin = Instant::now();
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let mut follower = Follower::new(&relay.url, &["small"], None).await;
    let frames = Arc::clone(&latencies);
    let following = tokio::spawn(async move {
        while follower.step().await {
            let now = begin.elapsed();
            let mut frames = frames.lock().await;
            for event in follower.events.drain(..) {
                let due = Duration::from_micros(event["due"].as_u64().expect("when it was due"));
                frames.push(now.saturating_sub(due));
            }
        }
    });
    let mut rows = Vec::new();
    for phase in ["warming up", "alone", "beside the large class", "alone again"] {
        let stop = Arc::new(AtomicBool::new(false));
        let asking = phase.starts_with("beside").then(|| {
            let (relay, stop) = (Arc::clone(&relay), Arc::clone(&stop));
            tokio::spawn(async move { ask(&relay, &stop).await })
        });
        let (posted, _) = tokio::join!(
            post(&relay, "small", POSTS_PER_SECOND, begin),
            post(&relay, "large", LARGE_POSTS, begin)
        );
        stop.store(true, Ordering::Relaxed);
        until("every event", async || (latencies.lock().await.len() >= posted).then_some(())).await;
        let mut frames = std::mem::take(&mut *latencies.lock().await);
        frames.sort_unstable();
        let (p50, p99, max) =
            (quantile(&frames, 0.5), quantile(&frames, 0.99), quantile(&frames, 1.0));
        let resident = mib(relay.resident());
        print!(
            "{phase:<24} POST to frame p50 {p50:>9.2?} p99 {p99:>9.2?} max {max:>9.2?}, \
                 {resident:>6.1} MiB resident"
        );
        if let Some(asking) = asking {
            let took = asking.await.expect("answers");
            let (p50, max) = (quantile(&took, 0.5), quantile(&took, 1.0));
            print!("; {} summaries, p50 {p50:.1?}, max {max:.1?}", took.len());
        }
        println!();
        rows.push(p99);
    }
    following.abort();
    let alone = rows[1].max(rows[3]);
    println!(
        "p99 beside the large class / alone: {:.2}",
        rows[2].as_secs_f64() / alone.as_secs_f64()
    );
    assert!(rows[2] <= alone.mul_f64(RATIO) + SLACK, "{:?} beside, {alone:?} alone", rows[2]);
}
