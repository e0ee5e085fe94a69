//! What an outage writes into the log, however many wait for its end.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Database, Follower, Relay, event, origin, text};

const WAITING: usize = 50;

/// Subscribers that are behind the memory, and cannot read the table.
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
    // The tail's connection goes on, those that read history are made when they are needed, and
    // cannot be.
    database.allow_connections(false).await;
    database.terminate("progress-relay pages").await;
    // The leader may have loaded a class already.
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
    // As long as several attempts of each of them.
    tokio::join!(asking, tokio::time::sleep(Duration::from_secs(4)));
    let log = relay.log();
    let lines = |part: &str| log.lines().filter(|line| line.contains(part)).count();
    let (waiting, loading) = (lines("history"), lines("could not be loaded"));
    eprintln!(
        "{waiting} lines about history, {loading} about classes, {} in all",
        log.lines().count()
    );
    // A cause more or less: PostgreSQL may word the first refusal otherwise than the others.
    assert!((1..=6).contains(&waiting), "{waiting} lines");
    assert!((1..=6).contains(&loading), "{loading} lines");
    database.allow_connections(true).await;
    for follower in &mut followers {
        assert_eq!(follower.take(400).await.len(), 400);
    }
}
