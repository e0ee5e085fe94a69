//! The dashboard in a real browser.

mod chrome;
mod classroom;

use crate::support::{Database, Relay};

/// For looking: serves a lesson until it is ended.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "for looking"]
async fn stand() {
    let database = Database::migrated().await;
    classroom::fill(&database, "python-101", &classroom::lesson(200, 7)).await;
    classroom::fill(&database, "big", &classroom::lesson(500, 8)).await;
    let relay = Relay::start(&database, &[]).await;
    std::fs::write("/tmp/dash-url", relay.url.to_string()).expect("a file");
    std::future::pending::<()>().await;
}
