//! The doorbell: rung once for what was stored, heard at every relay, and missed nowhere for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Notify;

use crate::support::{Database, Follower, Pooler, Relay, event, until, within};

/// Far below the fallback's tick of 2 s, which delivers as well; far above what a bell takes.
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
async fn a_bell_is_heard_at_every_relay() {
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
    let ear = connector.connect_with("test", move |payload: &str| match payload {
        "" => drop(counted.fetch_add(1, Ordering::Relaxed)),
        "the end" => ended.notify_one(),
        // The relay proves that it hears.
        _ => {}
    });
    let ear = ear.await.expect("a connection");
    ear.client.batch_execute("LISTEN progress_event").await.expect("LISTEN");
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

/// LISTEN succeeds and nothing is ever heard: not ready, and says why; what is stored is delivered
/// all the same.
#[tokio::test]
async fn a_listener_behind_a_pooler_is_not_believed() {
    let database = Database::new().await;
    let pooler = Pooler::before(&database, true);
    let relay = Relay::begin(&["--database-url", pooler.url()]).await;
    until("the log to say that nothing is heard", async || {
        relay.log().contains("connection=\"listener\"").then_some(())
    })
    .await;
    let response = relay.connection().await.get("/readyz").await.expect("an answer");
    let body: Value = response.json().expect("JSON");
    assert_eq!(response.status, 503, "{body}");
    assert_ne!(body["checks"]["listener"], "ok", "{body}");
    assert_eq!(body["checks"]["database"], "ok", "{body}");
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    relay.post(&event(1)).await;
    follower.take(1).await;
    pooler.heal();
    relay.ready().await;
}

/// A connection that is half open: nothing ever says that it is gone. It is found out, and listened
/// to anew.
#[tokio::test]
async fn a_listener_that_has_gone_deaf_is_found_out() {
    let database = Database::new().await;
    let pooler = Pooler::before(&database, false);
    let relay = Relay::begin(&["--database-url", pooler.url()]).await;
    relay.ready().await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    assert!(delay(&relay, &mut follower, 0).await < SOON);
    pooler.deafen();
    let begin = Instant::now();
    relay.post(&event(100)).await;
    follower.until_mark(100).await;
    // By the fallback's tick of 2 s: finding out takes a check's deadline, 5 s, at least.
    assert!(begin.elapsed() < Duration::from_millis(4500), "{:?} without a bell", begin.elapsed());
    until("the relay to find out", async || {
        let response = relay.connection().await.get("/readyz").await.expect("an answer");
        (response.status == 503 || relay.log().contains("connection=\"listener\"")).then_some(())
    })
    .await;
    relay.ready().await;
    assert!(delay(&relay, &mut follower, 200).await < SOON, "it does not hear again");
}
