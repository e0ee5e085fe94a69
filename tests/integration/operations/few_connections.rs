//! A role with few connections: writing and listening come first, and reading says what it lacks.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::{Follower, Relay, Roles, event, until};

/// The sessions that a relay holds for writing and listening.
const HELD: i64 = 6;

async fn limit(admin: &Client, role: &str, limit: i64) {
    let sql = format!("ALTER ROLE \"{role}\" CONNECTION LIMIT {limit}");
    admin.batch_execute(&sql).await.expect("a limit");
}

/// The sessions of the role, by name.
async fn sessions(admin: &Client, role: &str) -> Vec<String> {
    let sql = "SELECT application_name FROM pg_stat_activity WHERE usename = $1 ORDER BY 1";
    let rows = admin.query(sql, &[&role]).await.expect("the sessions");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Waits until the relay holds what it needs. The prober may be there as well.
async fn settled(admin: &Client, role: &str) {
    until("every session that is held", async || {
        let held = sessions(admin, role).await.into_iter();
        let held = held.filter(|name| !name.ends_with("prober") && !name.ends_with("pages"));
        (i64::try_from(held.count()) == Ok(HELD)).then_some(())
    })
    .await;
}

async fn summary(relay: &Relay) -> (u16, Value) {
    let mut connection = relay.connection().await;
    let answer = connection.get("/api/class/summary?class=other").await.expect("an answer");
    (answer.status.as_u16(), answer.json().expect("JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_says_what_it_lacks_while_writing_and_listening_work() {
    let roles = Roles::granted().await;
    let admin = roles.admin().await;
    limit(&admin, &roles.relay, HELD).await;
    let relay = roles.serve(&[]).await;
    settled(&admin, &roles.relay).await;
    let log = relay.log();
    assert!(log.contains("takes 7 connections") && log.contains("raise it to 15"), "{log}");
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    relay.post(&event(1)).await;
    assert_eq!(follower.take(1).await.len(), 1);
    let (status, problem) = summary(&relay).await;
    assert_eq!(status, 503);
    let said = problem["detail"].as_str().expect("a sentence");
    assert!(said.contains("CONNECTION LIMIT") && said.contains("15"), "{said}");
    limit(&admin, &roles.relay, 20).await;
    until("reading again", async || (summary(&relay).await.0 == 200).then_some(())).await;
}

/// The readers' connections and a stranger take all the room while a writer is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_give_way_to_a_writer_that_comes_back() {
    let roles = Roles::granted().await;
    let admin = roles.admin().await;
    let relay = roles.serve(&[]).await;
    settled(&admin, &roles.relay).await;
    // The pool opens a connection for a read, and keeps it.
    let mut asking = Vec::new();
    for _ in 0..3 {
        let mut connection = relay.connection().await;
        asking.push(tokio::spawn(async move {
            connection.get("/api/class/events?class=default").await.expect("an answer").status
        }));
    }
    for asked in asking {
        assert_eq!(asked.await.expect("an end"), 200);
    }
    let is_reader = |name: &String| name.ends_with("pages") || name.ends_with("loads");
    assert!(sessions(&admin, &roles.relay).await.iter().any(is_reader), "a connection was kept");
    limit(&admin, &roles.relay, HELD).await;
    roles.database.terminate("progress-relay writer").await;
    settled(&admin, &roles.relay).await;
    assert_eq!(relay.post(&event(1)).await["accepted"], json!(1));
}

#[tokio::test]
async fn a_limit_below_what_is_needed_ends_the_start() {
    let roles = Roles::granted().await;
    let admin = roles.admin().await;
    limit(&admin, &roles.relay, HELD - 1).await;
    let ended = roles.run(&["serve", "--bind", "127.0.0.1:0", "--no-migrate"]).await;
    assert_eq!(ended.code, Some(1));
    for part in ["takes 7 connections", "8 more", "CONNECTION LIMIT of role", "is 5"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

/// A role that may not even have the connection by which the relay would learn of the limit.
#[tokio::test]
async fn a_role_without_connections_is_told_how_many_a_relay_takes() {
    let roles = Roles::granted().await;
    let admin = roles.admin().await;
    for few in [0, 1] {
        limit(&admin, &roles.relay, few).await;
        let flags = ["serve", "--bind", "127.0.0.1:0", "--no-migrate", "--start-patience", "1s"];
        let ended = roles.run(&flags).await;
        assert_eq!(ended.code, Some(1));
        for part in ["too many connections for role", "a relay takes 7 connections"] {
            assert!(ended.stderr.contains(part), "{few}, {part}: {}", ended.stderr);
        }
    }
}
