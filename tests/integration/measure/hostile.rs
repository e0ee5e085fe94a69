//! `make hostile`: a class at work, alone and then beside hostile peers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::{descriptors, mib, peers, quantile};
use crate::support::{Relay, data_folder, event};

const POSTS_PER_SECOND: u32 = 200;
const DASHBOARDS: usize = 50;
const HOSTILE: usize = 500;
const PHASE: Duration = Duration::from_secs(30);
/// The bound that docs/operations.md states.
const MEMORY_BOUND: usize = 256 << 20;
/// How much later the slowest hundredth may be beside hostile peers, which use the same two cores.
const SLOWED: f64 = 4.0;
const SLACK: Duration = Duration::from_millis(20);

/// A class with large answers: many students and cells, and events of 64 KiB.
async fn fill_huge(relay: &Relay) {
    for batch in 0..20 {
        let events = (0..200).map(|n| {
            let mut event = event(n);
            event["classId"] = "huge".into();
            event["userId"] = format!("s{}", batch * 100 + n % 100).into();
            event["notebookPath"] = "n".repeat(200).into();
            event["cellId"] = format!("c{}", batch * 10 + n % 10).into();
            if n % 20 == 0 {
                event["code"] = "x".repeat(1 << 16).into();
            }
            event
        });
        relay.post(&Value::Array(events.collect())).await;
    }
}

/// Follows the class and returns for each event how long after its POST was due it arrived.
async fn dashboard(
    relay: &Relay,
    begin: Instant,
    latencies: Arc<Mutex<Vec<Duration>>>,
) -> JoinHandle<()> {
    let mut follower = crate::support::Follower::new(&relay.url, &["default"], None).await;
    follower.until_live().await;
    tokio::spawn(async move {
        while follower.step().await {
            let now = begin.elapsed();
            let mut latencies = latencies.lock().await;
            // Events are dropped at once, because 50 dashboards would hold each of them 50 times.
            for event in follower.events.drain(..) {
                let due = Duration::from_micros(event["due"].as_u64().expect("when it was due"));
                latencies.push(now.saturating_sub(due));
            }
        }
        panic!("a dashboard was disconnected");
    })
}

/// Posts at the rate for one phase. Returns how long after it was due each POST was answered.
async fn class_at_work(relay: &Relay, begin: Instant) -> Vec<Duration> {
    let total = POSTS_PER_SECOND * PHASE.as_secs() as u32;
    let start = begin.elapsed();
    let posters = (0..50_u32).map(|poster| {
        let url = relay.url.clone();
        tokio::spawn(async move {
            let mut connection =
                progress_relay::client::http::Connection::open(&url).await.expect("a connection");
            let mut latencies = Vec::new();
            for n in (poster..total).step_by(50) {
                let due = start + Duration::from_secs(1) * n / POSTS_PER_SECOND;
                tokio::time::sleep(due.saturating_sub(begin.elapsed())).await;
                let mut event = event(n as usize);
                event["due"] = u64::try_from(due.as_micros()).expect("a time").into();
                let response = connection
                    .post_json("/api/v1/events", event.to_string())
                    .await
                    .expect("an answer");
                assert_eq!(response.json::<Value>().expect("an answer")["accepted"], 1);
                latencies.push(begin.elapsed().saturating_sub(due));
            }
            latencies
        })
    });
    let mut all = Vec::new();
    for poster in posters.collect::<Vec<_>>() {
        all.extend(poster.await.expect("a poster"));
    }
    all.sort_unstable();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: make hostile"]
async fn hostile() {
    let folder = data_folder();
    let relay = Relay::serve(&["--data-dir", folder.to_str().expect("UTF-8")]).await;
    fill_huge(&relay).await;
    let begin = Instant::now();
    let frames = Arc::new(Mutex::new(Vec::new()));
    let mut dashboards = Vec::new();
    for _ in 0..DASHBOARDS {
        dashboards.push(dashboard(&relay, begin, Arc::clone(&frames)).await);
    }
    let expected = DASHBOARDS * POSTS_PER_SECOND as usize * PHASE.as_secs() as usize;
    let collect = async || {
        crate::support::until("every event at every dashboard", || async {
            (frames.lock().await.len() >= expected).then_some(())
        })
        .await;
        let mut frames = std::mem::take(&mut *frames.lock().await);
        assert_eq!(frames.len(), expected, "an event came twice");
        frames.sort_unstable();
        frames
    };
    // The first connections and memory pages are not measured.
    class_at_work(&relay, begin).await;
    collect().await;

    let mut rows = Vec::new();
    let mut hostile: Vec<JoinHandle<()>> = Vec::new();
    for phase in ["alone", "beside 500 hostile peers", "alone again"] {
        if phase.starts_with("beside") {
            let address = relay.url.authority();
            hostile = (0..HOSTILE)
                .map(|way| tokio::spawn(peers::misbehave(address.clone(), way)))
                .collect();
            tokio::time::sleep(Duration::from_secs(3)).await;
        } else {
            hostile.drain(..).for_each(|peer| peer.abort());
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let posts = class_at_work(&relay, begin).await;
        let frames = collect().await;
        let resident = relay.resident();
        rows.push((
            phase,
            quantile(&posts, 0.5),
            quantile(&posts, 0.99),
            quantile(&frames, 0.5),
            quantile(&frames, 0.99),
            resident,
        ));
        println!(
            "{phase:<26} POST p50 {:>9.2?} p99 {:>9.2?}  POST to frame p50 {:>9.2?} p99 {:>9.2?} \
                 resident {:>6.1} MiB, {} descriptors",
            rows.last().expect("a row").1,
            rows.last().expect("a row").2,
            rows.last().expect("a row").3,
            rows.last().expect("a row").4,
            mib(resident),
            descriptors(relay.pid()),
        );
    }
    assert!(dashboards.iter().all(|dashboard| !dashboard.is_finished()));
    let (alone, beside) = (rows[0], rows[1]);
    println!(
        "p99 beside hostile peers / alone: POST {:.2}, POST to frame {:.2}",
        beside.2.as_secs_f64() / alone.2.as_secs_f64(),
        beside.4.as_secs_f64() / alone.4.as_secs_f64()
    );
    let again = rows[2];
    for (what, beside, alone) in [
        ("POST", beside.2, alone.2.max(again.2)),
        ("POST to frame", beside.4, alone.4.max(again.4)),
    ] {
        assert!(
            beside <= alone.mul_f64(SLOWED) + SLACK,
            "{what}: {beside:?} beside, {alone:?} alone"
        );
    }
    println!("{:.1} MiB at most", mib(relay.peak()));
    assert!(relay.peak() < MEMORY_BOUND, "{} MiB at most", mib(relay.peak()));
    assert!(beside.5 < MEMORY_BOUND, "{} MiB resident", mib(beside.5));
    // The peers end before the relay, because they would take its end for a failure.
    dashboards.drain(..).for_each(|dashboard| dashboard.abort());
}
