//! Running relays.

use std::time::{Duration, SystemTime};

use super::fixture::{Installation, assert_remark, assert_wrong};
use crate::support::stage::port;
use crate::support::{Database, Relay, Rewriter, readiness, until};

/// The address of a relay.
fn address(relay: &Relay) -> std::net::SocketAddr {
    relay.url.authority().parse().expect("an address")
}

#[tokio::test]
async fn a_relay_that_is_away_is_wrong() {
    let installation = Installation::new().await;
    let nobody = format!("http://127.0.0.1:{}", port());
    let flags = ["--database-url", &installation.url, "--url", &nobody];
    let what = assert_wrong("relay.reached", &[], &flags).await;
    assert!(what.contains("no relay answers"), "{what}");
}

/// A relay whose database is away, beside a database that is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_is_not_ready_is_wrong() {
    let (installation, away) = (Installation::new().await, Database::new().await);
    away.allow_connections(false).await;
    let relay = Relay::begin(&["--database-url", &away.url(), "--start-patience", "forever"]).await;
    let cause = "not currently accepting connections";
    until("the cause to be shown", async || {
        let (_, checks) = readiness(&relay).await;
        checks["start"].as_str().is_some_and(|start| start.contains(cause)).then_some(())
    })
    .await;
    let url = relay.url.to_string();
    let flags = ["--database-url", &installation.url, "--url", &url];
    let what = assert_wrong("relay.ready", &["relay.epoch"], &flags).await;
    assert!(what.contains(cause), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_of_another_database_is_wrong() {
    let (one, other) = (Installation::new().await, Installation::new().await);
    let relay = Relay::serve(&["--database-url", &other.url]).await;
    let flags = ["--database-url", &one.url, "--url", &relay.url.to_string()];
    let what = assert_wrong("relay.epoch", &[], &flags).await;
    assert!(what.contains("and the database has"), "{what}");
}

/// Proxies that change a relay's answers: the year, the release, and others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_answers_otherwise_is_noticed() {
    let installation = Installation::new().await;
    let relay = Relay::serve(&["--database-url", &installation.url]).await;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");
    let year = 1970 + since.as_secs() / Duration::from_secs(31_556_952).as_secs();
    let (this, last) = (format!(" {year} "), format!(" {} ", year - 1));
    let late = Rewriter::before(address(&relay), &this, &last).await;
    let url = format!("http://{}", late.address);
    let flags = ["--database-url", &*installation.url, "--url", &url];
    let what = assert_wrong("relay.clock", &[], &flags).await;
    assert!(what.contains("behind this machine's"), "{what}");

    // A proxy that lets no WebSocket through, and something whose readiness is not a relay's.
    let deaf = Rewriter::before(address(&relay), "GET /ws/connect", "GET /ws/absent!").await;
    let url = format!("http://{}", deaf.address);
    let flags = ["--database-url", &*installation.url, "--url", &url];
    let what = assert_wrong("relay.epoch", &[], &flags).await;
    assert!(what.contains("cannot subscribe") && what.contains("404"), "{what}");
    let odd = Rewriter::before(address(&relay), "\"ready\":", "\"alive\":").await;
    let url = format!("http://{}", odd.address);
    let flags = ["--database-url", &*installation.url, "--url", &url];
    let what = assert_wrong("relay.ready", &[], &flags).await;
    assert!(what.contains("/readyz"), "{what}");

    let (this, other) = ("\"release\":\"0.2", "\"release\":\"0.0");
    let old = Rewriter::before(address(&relay), this, other).await;
    let url = format!("http://{}", old.address);
    let flags = ["--database-url", &*installation.url, "--url", &url];
    let what = assert_remark("relay.release", &flags).await;
    assert!(what.contains("release 0.0"), "{what}");
}
