//! The database away for longer than the clients' own first retries are apart.

use std::time::Duration;

use progress_relay::http::client::BaseUrl;
use progress_relay::http::client::http::Connection;
use serde_json::Value;

use crate::support::{Database, Follower, Relay, event};

/// The clients in the field, each with its own patience: when it takes an answer for success, how long it waits for one, and how
/// long before each retry. What is not taken after the last is lost.
struct Client {
    success_below: u16,
    timeout: Duration,
    retries: &'static [u64],
}

/// Cell Monitor 0.1.0 and 1.1.4.
const CLIENTS: [Client; 2] = [
    Client { success_below: 300, timeout: Duration::from_secs(3600), retries: &[1000, 2000, 4000] },
    Client { success_below: 500, timeout: Duration::from_secs(8), retries: &[500, 1000, 2000] },
];

impl Client {
    async fn send(&self, url: &BaseUrl, event: &Value) -> bool {
        for wait in std::iter::once(0).chain(self.retries.iter().copied()) {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let attempt = async {
                let mut connection = Connection::open(url).await.ok()?;
                connection.post_json("/api/v1/events", event.to_string()).await.ok()
            };
            let answer = tokio::time::timeout(self.timeout, attempt).await.ok().flatten();
            if answer.is_some_and(|response| response.status.as_u16() < self.success_below) {
                return true;
            }
        }
        false
    }
}

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
            CLIENTS[n % 2].send(&url, &event(n)).await
        }
    });
    let outage = async {
        tokio::time::sleep(OUTAGE).await;
        let ready = relay.connection().await.get("/readyz").await.expect("an answer");
        database.allow_connections(true).await;
        ready
    };
    let (sent, ready) = tokio::join!(futures::future::join_all(clients), outage);
    // All replicas share this cause: it does not take this one out of the balancer, and is said at once.
    assert_eq!(ready.status, 200);
    let body: Value = ready.json().expect("JSON");
    assert_ne!(body["checks"]["database"], "ok", "{body}");
    assert!(sent.iter().all(|sent| *sent), "a client gave up: {sent:?}");
    follower.take(40).await;
    relay.ready().await;
}
