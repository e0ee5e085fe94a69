//! The database is away for longer than the pauses between the clients' first retries.

use std::time::Duration;

use crate::support::stage::CLIENTS;
use crate::support::{Database, Follower, Relay, event, readiness};

/// In an outage of 5 s, POSTs wait for the database, and the clients' retries lose no event.
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
        let ready = readiness(&relay).await;
        database.allow_connections(true).await;
        ready
    };
    let (sent, (status, checks)) = tokio::join!(futures::future::join_all(clients), outage);
    // All replicas share this cause, so this one stays ready and names the cause.
    assert_eq!(status, 200);
    assert_ne!(checks["database"], "ok", "{checks}");
    assert!(sent.iter().all(|sent| *sent), "a client gave up: {sent:?}");
    follower.take(40).await;
    relay.ready().await;
}
