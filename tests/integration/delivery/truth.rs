//! An acknowledged event is stored, and a stored event is delivered once.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Database, Follower, Pooler, Relay, event};

/// A writer that uses SQL and has turned `synchronous_commit` off. Its ids must not be assigned to
/// other events after a crash.
#[tokio::test]
async fn every_writer_waits_for_the_disk() {
    let database = Database::migrated().await;
    let client = database.client().await;
    client
        .batch_execute(
            "SET synchronous_commit = off; BEGIN;
             INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body)
             VALUES (gen_random_uuid(), 'c', 's', now(), '{}')",
        )
        .await
        .expect("an event");
    let within: String =
        client.query_one("SHOW synchronous_commit", &[]).await.expect("a setting").get(0);
    assert_eq!(within, "on", "for the transaction");
    client.batch_execute("COMMIT").await.expect("a commit");
    let after: String =
        client.query_one("SHOW synchronous_commit", &[]).await.expect("a setting").get(0);
    assert_eq!(after, "off", "and no longer");
}

/// The relay's sessions keep their settings, whatever the role or a reload sets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_s_settings_do_not_reach_the_relay() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let name: String =
        client.query_one("SELECT current_database()", &[]).await.expect("a name").get(0);
    for setting in [
        "synchronous_commit = off",
        "statement_timeout = '300ms'",
        "lock_timeout = '50ms'",
        "idle_session_timeout = '3s'",
        "idle_in_transaction_session_timeout = '1s'",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
    ] {
        let sql = format!("ALTER DATABASE {name} SET {setting}");
        database.admin().await.batch_execute(&sql).await.expect("a setting");
    }
    let relay = Relay::start(&database, &["--commit-timeout", "5s"]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    relay.post(&event(1)).await;
    // Longer than the role allows a session to idle or a statement to wait for a lock.
    let holder = database.admin().await;
    let _ = holder;
    let blocking = database.client().await;
    blocking
        .batch_execute(
            "SET default_transaction_read_only = off; SET \
             idle_in_transaction_session_timeout = 0; BEGIN READ WRITE; SELECT \
             progress_event_lock()",
        )
        .await
        .expect("the lock");
    let second = event(2);
    let post = relay.post(&second);
    let mut post = std::pin::pin!(post);
    assert!(
        tokio::time::timeout(Duration::from_secs(4), &mut post).await.is_err(),
        "it waits for the lock"
    );
    blocking.batch_execute("COMMIT").await.expect("the lock back");
    post.await;
    relay.post(&event(3)).await;
    follower.take(3).await;
    assert!(!relay.log().contains("it fails"), "{}", relay.log());
}

/// The connection is lost after the event was stored and before the answer arrives. The relay sends
/// the event again and finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_that_was_lowered_is_no_error() {
    let database = Database::migrated().await;
    let pooler = Pooler::before(&database, false);
    let relay = Relay::serve(&["--database-url", pooler.url()]).await;
    let mut help = event(1);
    help["eventType"] = "help".into();
    relay.post(&help).await;
    pooler.cut_after("help_resolved");
    let path = "/api/class/students/s001/help/resolve";
    let response =
        relay.connection().await.post_json(path, String::new()).await.expect("an answer");
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    assert_eq!(response.json::<Value>().expect("JSON")["resolved"], true);
    assert!(pooler.has_cut(), "the connection was lost at the commit");
    let sql = "SELECT FROM progress_event WHERE body ->> 'eventType' = 'help_resolved'";
    assert_eq!(database.client().await.query(sql, &[]).await.expect("rows").len(), 1);
}

/// The answer of the database to a POST is lost. The event is stored once, delivered once and
/// acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_at_the_commit() {
    let database = Database::migrated().await;
    let pooler = Pooler::before(&database, false);
    let relay = Relay::serve(&["--database-url", pooler.url()]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    for n in 0..5 {
        pooler.cut_after("x = 6*7");
        let answer = relay.post(&event(n)).await;
        assert_eq!((&answer["accepted"], &answer["duplicates"]), (&0.into(), &1.into()));
        assert!(pooler.has_cut());
    }
    assert_eq!(follower.take(5).await.len(), 5);
}

/// One relay is frozen at a random moment, and the other one continues.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_replica_stops_no_other() {
    let database = Database::migrated().await;
    let (frozen, other) = (Relay::start(&database, &[]).await, Relay::start(&database, &[]).await);
    let mut follower = Follower::new(&other.url, &["default"], None).await;
    for round in 0..6 {
        let batch: Vec<Value> = (0..900).map(|n| event(10_000 + 1_000 * round + n)).collect();
        let body = Value::from(batch);
        let post = async {
            let mut connection = frozen.connection().await;
            connection.post_json("/student-progress", body.to_string()).await
        };
        let freeze = async {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(1..60))).await;
            frozen.signal(Signal::SIGSTOP);
            let began = Instant::now();
            assert_eq!(other.post(&event(round)).await["accepted"], 1);
            let took = began.elapsed();
            frozen.signal(Signal::SIGCONT);
            took
        };
        let (posted, took) = tokio::join!(post, freeze);
        assert!(took < Duration::from_secs(6), "round {round}: {took:?}");
        assert_eq!(posted.expect("an answer").status, 200);
    }
    follower.take(6 * 901).await;
}
