//! The doorbell rings once for each commit, and a relay that misses it still finds the events.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Notify;

use crate::support::{Database, Follower, Pooler, Relay, event, readiness, until, within};

/// Far less than the fallback's tick of 2 s, which delivers as well, and far more than a ring
/// takes.
const SOON: Duration = Duration::from_millis(700);

/// The median time from a POST at one relay to its frame at another.
async fn delay(relay: &Relay, follower: &mut Follower, first: usize) -> Duration {
    let mut delays = Vec::new();
    for n in first..first + 9 {
        let begin = Instant::now();
        relay.post(&event(n)).await;
        follower.until_mark(n as i64).await;
        delays.push(begin.elapsed());
    }
    delays.sort();
    delays[delays.len() / 2]
}

#[tokio::test]
async fn a_ring_of_the_doorbell_reaches_every_relay() {
    let database = Database::new().await;
    let (one, two) = (Relay::start(&database, &[]).await, Relay::start(&database, &[]).await);
    let mut near = Follower::new(&one.url, &["default"], None).await;
    let mut far = Follower::new(&two.url, &["default"], None).await;
    let (there, across) = (delay(&one, &mut near, 0).await, delay(&one, &mut far, 100).await);
    assert!(there < SOON && across < SOON, "{there:?} at the same relay, {across:?} at another");
}

#[tokio::test]
async fn one_statement_rings_once_and_one_that_stores_nothing_does_not() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let (bells, end) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counted, ended) = (Arc::clone(&bells), Arc::clone(&end));
    let connector = database.connector();
    let listener = connector.connect_with("test", move |payload: &str| match payload {
        "" => drop(counted.fetch_add(1, Ordering::Relaxed)),
        "the end" => ended.notify_one(),
        // The relay's own notification, by which it tests its listener.
        _ => {}
    });
    let listener = listener.await.expect("a connection");
    listener.client.batch_execute("LISTEN progress_event").await.expect("LISTEN");
    let events: Value = (0..50).map(event).collect();
    assert_eq!(relay.post(&events).await["accepted"], 50);
    assert_eq!(relay.post(&events).await["duplicates"], 50);
    database
        .client()
        .await
        .batch_execute("NOTIFY progress_event, 'the end'")
        .await
        .expect("NOTIFY");
    within("the last bell", end.notified()).await;
    assert_eq!(bells.load(Ordering::Relaxed), 1);
}

/// LISTEN succeeds and no notification arrives. The relay is not ready and says why, and events are
/// delivered all the same.
#[tokio::test]
async fn a_listener_behind_a_pooler_is_not_ready() {
    let database = Database::new().await;
    let pooler = Pooler::before(&database, true);
    let relay = Relay::begin(&["--database-url", pooler.url()]).await;
    until("the log to say that no notification arrives", async || {
        relay.log().contains("connection=\"listener\"").then_some(())
    })
    .await;
    let (status, checks) = readiness(&relay).await;
    assert_eq!(status, 503, "{checks}");
    assert_ne!(checks["listener"], "ok", "{checks}");
    assert_eq!(checks["database"], "ok", "{checks}");
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    relay.post(&event(1)).await;
    follower.take(1).await;
    pooler.heal();
    relay.ready().await;
}

/// A half-open connection, whose loss no packet reports. The relay notices it and listens on a new
/// connection.
#[tokio::test]
async fn a_listener_without_notifications_is_replaced() {
    let database = Database::new().await;
    let pooler = Pooler::before(&database, false);
    let relay = Relay::begin(&["--database-url", pooler.url()]).await;
    relay.ready().await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    assert!(delay(&relay, &mut follower, 0).await < SOON);
    pooler.drop_notifications();
    let begin = Instant::now();
    relay.post(&event(100)).await;
    follower.until_mark(100).await;
    // The fallback's tick of 2 s delivers. Noticing the loss takes the deadline of a check, 5 s, at
    // least.
    assert!(begin.elapsed() < Duration::from_millis(4500), "{:?} without a bell", begin.elapsed());
    until("the relay to find out", async || {
        (readiness(&relay).await.0 == 503 || relay.log().contains("connection=\"listener\""))
            .then_some(())
    })
    .await;
    relay.ready().await;
    assert!(delay(&relay, &mut follower, 200).await < SOON, "the listener does not hear again");
}
