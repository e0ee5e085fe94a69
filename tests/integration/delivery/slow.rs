//! Subscribers that do not read cost little, delay no others, and get everything afterwards.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Database, Follower, Raw, Relay, event, until};

/// How many subscribers do not read.
const STALLED: usize = 20;
/// The events of a request, and the bytes of an event.
const BATCH: usize = 100;
const EVENT: usize = 8_000;
/// The most that the relay may grow by while they stall, beyond its log in memory. Each may hold
/// one frame (at most 256 KiB, mostly the same one), and the allocator keeps some memory of the
/// requests. It is far less than the bytes that are sent meanwhile.
const GROWTH: usize = 16 << 20;
/// The least bytes to send while they stall. If half of them waited for one subscriber, the relay
/// would grow by more than [`GROWTH`].
const SENT: usize = 40 << 20;

struct Loaded {
    relay: Relay,
    follower: Follower,
    sent: usize,
    padding: String,
    delays: Vec<Duration>,
}

impl Loaded {
    /// Posts a batch and waits until the follower has it.
    async fn batch(&mut self) {
        let events: Vec<Value> = (self.sent..self.sent + BATCH)
            .map(|n| {
                let mut event = event(n);
                event["result"] = self.padding.as_str().into();
                event
            })
            .collect();
        let begin = Instant::now();
        self.relay.post(&events.into()).await;
        self.sent += BATCH;
        // The events would count as memory of the test.
        self.follower.until_mark(self.sent as i64 - 1).await;
        self.delays.push(begin.elapsed());
        assert_eq!(self.follower.events.len(), BATCH);
        self.follower.events.clear();
    }
}

/// Loads the relay for `stall` while some subscribers do not read and another follows. Then all of
/// them read.
async fn stall(flags: &[&str], stall: Duration, bytes: usize) -> (Database, Loaded) {
    let database = Database::new().await;
    let relay = Relay::start(&database, flags).await;
    let follower = Follower::new(&relay.url, &["default"], None).await;
    let padding = "x".repeat(EVENT);
    let mut loaded = Loaded { relay, follower, sent: 0, padding, delays: Vec::new() };
    // The first requests cost memory that has nothing to do with the subscribers.
    for _ in 0..10 {
        loaded.batch().await;
    }
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(Raw::connect(&loaded.relay).await);
    }
    let first = loaded.sent;
    let alone = std::mem::take(&mut loaded.delays);
    let (before, begin) = (loaded.relay.resident(), Instant::now());
    let mut grown = 0;
    while begin.elapsed() < stall || (loaded.sent - first) * EVENT < bytes {
        loaded.batch().await;
        grown = grown.max(loaded.relay.resident().saturating_sub(before));
    }
    let mib = ((loaded.sent - first) * EVENT) >> 20;
    let (usual, worst) = (median(&alone), *loaded.delays.iter().max().expect("a batch"));
    eprintln!(
        "{mib} MiB in {:?}, grown by {} KiB; a batch: {usual:?} before, then {:?}, at worst \
             {worst:?}",
        begin.elapsed(),
        grown >> 10,
        median(&loaded.delays)
    );
    if !flags.is_empty() {
        assert!(grown < GROWTH, "the relay grew by {grown} bytes while {mib} MiB were sent");
    }
    // The machine may be busy with other tests. A relay that waited for a subscriber would need
    // seconds for every batch.
    let delay = median(&loaded.delays);
    assert!(
        delay < 3 * usual + Duration::from_millis(500),
        "{usual:?} before, {delay:?} beside them"
    );
    assert!(worst < Duration::from_secs(20), "a batch took {worst:?}");

    // Two of them read in parallel, and the others are closed.
    let expected: Vec<i64> = (first as i64..loaded.sent as i64).collect();
    stalled.truncate(2);
    let [one, two] = &mut stalled[..] else { panic!("two") };
    let (one, two) = tokio::join!(one.events(expected.len()), two.events(expected.len()));
    assert_eq!(one, expected);
    assert_eq!(two, expected);
    (database, loaded)
}

fn median(delays: &[Duration]) -> Duration {
    let mut sorted = delays.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_stall_get_everything_from_memory() {
    stall(&[], Duration::from_secs(4), 24 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_fall_behind_the_memory_get_everything_from_the_table() {
    let (database, _loaded) =
        stall(&["--log-memory", "256KiB"], Duration::from_secs(8), SENT).await;
    // Only pages that are read from the table use this index.
    let client = database.client().await;
    until("the statistics of the pages that were read", async || {
        let sql =
            "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'progress_event_class'";
        let scans: i64 = client.query_one(sql, &[]).await.expect("statistics").get(0);
        (scans > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: cargo test -- --ignored"]
async fn those_who_stall_for_40_seconds() {
    stall(&["--log-memory", "256KiB"], Duration::from_secs(40), SENT).await;
}
