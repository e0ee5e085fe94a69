//! An outage writes few lines into the log, however many requests wait for its end.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Database, Follower, Relay, event, origin, text, until};

const WAITING: usize = 50;

/// Subscribers that are behind the log in memory, and cannot read the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_one_line_however_many_wait() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--log-memory", "64KiB"]).await;
    let mut cursor = String::new();
    for batch in 0..20 {
        let events: Vec<Value> = (0..20)
            .map(|n| {
                let mut event = event(batch * 20 + n);
                event["result"] = "x".repeat(2_000).into();
                event
            })
            .collect();
        cursor = text(&relay.post(&events.into()).await, "cursor").to_owned();
    }
    // The tail keeps its connection. Connections that read history are opened when they are needed,
    // and cannot be.
    database.allow_connections(false).await;
    database.terminate("progress-relay pages").await;
    // The leader may have loaded the class meanwhile, and its connection would serve the summaries.
    database.terminate("progress-relay loads").await;
    let begin = origin(&cursor);
    let mut followers = Vec::new();
    for _ in 0..WAITING {
        followers.push(Follower::new(&relay.url, &["default"], Some(&begin)).await);
    }
    let mut connection = relay.connection().await;
    let asking = async {
        for n in 0..40 {
            let target = format!("/api/class/summary?class=c{}", n % 4);
            let answer = connection.get(&target).await.expect("an answer");
            assert_eq!(answer.status, 503);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    // This takes several attempts of each subscriber.
    tokio::join!(asking, tokio::time::sleep(Duration::from_secs(4)));
    let lines = |part: &str| relay.log().lines().filter(|line| line.contains(part)).count();
    until("the first lines", async || {
        (lines("history") > 0 && lines("could not be loaded") > 0).then_some(())
    })
    .await;
    let (waiting, loading) = (lines("history"), lines("could not be loaded"));
    eprintln!(
        "{waiting} lines about history, {loading} about classes, {} in all",
        relay.log().lines().count()
    );
    // PostgreSQL may word the first refusal differently, which makes it another cause.
    assert!((1..=6).contains(&waiting), "{waiting} lines");
    assert!((1..=6).contains(&loading), "{loading} lines");
    database.allow_connections(true).await;
    for follower in &mut followers {
        assert_eq!(follower.take(400).await.len(), 400);
    }
}
