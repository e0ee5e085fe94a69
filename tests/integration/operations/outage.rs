//! The database away for longer than the clients' own first retries are apart.

use std::time::Duration;

use serde_json::Value;

use crate::support::stage::CLIENTS;
use crate::support::{Database, Follower, Relay, event};

/// An outage of 5 s: POSTs wait for the database, and what the clients do anyway loses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_seconds_lose_nothing() {
    const OUTAGE: Duration = Duration::from_secs(5);
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    database.allow_connections(false).await;
    database.terminate("progress-relay %").await;
    let clients = (0..40).map(|n| {
        let url = relay.url.clone();
        async move {
            tokio::time::sleep(OUTAGE.mul_f64(n as f64 / 40.0)).await;
            CLIENTS[n % 2].send(&url, n as i64, &event(n), &|_| {}).await
        }
    });
    let outage = async {
        tokio::time::sleep(OUTAGE).await;
        let ready = relay.connection().await.get("/readyz").await.expect("an answer");
        database.allow_connections(true).await;
        ready
    };
    let (sent, ready) = tokio::join!(futures::future::join_all(clients), outage);
    // All replicas share this cause: it does not take this one out of the balancer, and is said at
    // once.
    assert_eq!(ready.status, 200);
    let body: Value = ready.json().expect("JSON");
    assert_ne!(body["checks"]["database"], "ok", "{body}");
    assert!(sent.iter().all(|sent| *sent), "a client gave up: {sent:?}");
    follower.take(40).await;
    relay.ready().await;
}
