//! An event that the database refuses for its own reasons is answered 503: clients send it again.
//!
//! Clients in the field drop an event that is answered with 4xx. An event is only to blame if the
//! database stores other events meanwhile.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Database, Follower, Relay, event, readiness, until};

/// A statement trigger that refuses every event with this SQLSTATE.
async fn refuse_all(database: &Database, sqlstate: &str) {
    let sql = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'nothing is stored today' USING ERRCODE = '{sqlstate}'; END $$;
         CREATE TRIGGER refuse AFTER INSERT ON progress_event
         FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    );
    database.client().await.batch_execute(&sql).await.expect("a trigger");
}

/// A full NOTIFY queue is 54000, and an operator's trigger is P0001. For every error, no event is
/// to blame while the database stores nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_for_every_event_is_no_event_s_fault() {
    for sqlstate in
        ["54000", "P0001", "22023", "22P02", "23502", "23514", "42501", "53100", "0A000"]
    {
        let database = Database::migrated().await;
        let relay = Relay::start(&database, &["--commit-timeout", "1s"]).await;
        let mut follower = Follower::new(&relay.url, &["default"], None).await;
        refuse_all(&database, sqlstate).await;
        let batch: Vec<Value> = (0..20).map(event).collect();
        for body in [event(20), batch.clone().into()] {
            let response = relay.try_post(&body).await;
            assert_eq!(response.status, 503, "{sqlstate}");
            assert!(response.header("retry-after").is_some(), "{sqlstate}");
            let problem: Value = response.json().expect("a problem");
            let cause = problem["cause"].as_str().expect("a cause");
            assert!(
                cause.contains("nothing is stored today") && cause.contains(sqlstate),
                "{cause}"
            );
        }
        let (status, checks) = readiness(&relay).await;
        assert_eq!(status, 200, "{sqlstate}: all replicas share it");
        assert!(
            checks["database"].as_str().expect("text").contains("nothing is stored today"),
            "{checks}"
        );
        // The relay recovers by itself, without a POST that tries.
        database
            .client()
            .await
            .batch_execute("DROP TRIGGER refuse ON progress_event")
            .await
            .expect("gone");
        until("the relay to find out", async || {
            (readiness(&relay).await.1["database"] == "ok").then_some(())
        })
        .await;
        let answer = relay.post(&batch.into()).await;
        // An event that was answered 503 may have been stored when the trigger was gone, and is
        // stored once.
        let number = |name: &str| answer[name].as_u64().expect("a number");
        assert_eq!(number("accepted") + number("duplicates"), 20, "{sqlstate}: {answer}");
        relay.post(&event(99)).await;
        follower.until_mark(99).await;
        let mut marks = follower.marks();
        marks.sort_unstable();
        marks.retain(|mark| (0..20).contains(mark));
        assert_eq!(marks, (0..20).collect::<Vec<_>>(), "{sqlstate}");
        let lines =
            relay.log().lines().filter(|line| line.contains("nothing is stored today")).count();
        assert!((1..=6).contains(&lines), "{sqlstate}: {lines} lines\n{}", relay.log());
    }
}

/// An operator's rule refuses some events. The others are stored, and the refused ones are answered
/// 503, so that clients keep them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_s_rule_is_no_event_s_fault() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let client = database.client().await;
    client
        .batch_execute(
            "ALTER TABLE progress_event ADD CONSTRAINT rule CHECK (student_id <> 's003')",
        )
        .await
        .expect("a rule");
    let batch: Vec<Value> = (0..8).map(event).collect();
    let began = Instant::now();
    let response = relay.try_post(&batch.clone().into()).await;
    assert_eq!(response.status, 503);
    assert!(began.elapsed() < Duration::from_secs(4), "there is nothing to wait for");
    let problem: Value = response.json().expect("a problem");
    assert!(problem["cause"].as_str().expect("a cause").contains("\"rule\""), "{problem}");
    // The other events of the batch are stored.
    follower.take(7).await;
    assert_eq!(readiness(&relay).await.1["database"], "ok", "the database stores");
    client.batch_execute("ALTER TABLE progress_event DROP CONSTRAINT rule").await.expect("mended");
    let answer = relay.post(&batch.into()).await;
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&1.into(), &7.into()));
    follower.take(8).await;
}

/// An operator has added a column that no event has. No event is stored, and `/readyz` quotes
/// PostgreSQL's error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_names_the_error_of_the_last_statement() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &["--commit-timeout", "1s"]).await;
    let client = database.client().await;
    client
        .batch_execute(
            "ALTER TABLE progress_event ADD COLUMN school text; ALTER TABLE \
             progress_event ADD CONSTRAINT named CHECK (school IS NOT NULL)",
        )
        .await
        .expect("a column");
    assert_eq!(relay.try_post(&event(1)).await.status, 503);
    let (_, checks) = readiness(&relay).await;
    assert!(checks["database"].as_str().expect("text").contains("\"named\""), "{checks}");
    client.batch_execute("ALTER TABLE progress_event DROP COLUMN school").await.expect("mended");
    until("the relay to find out", async || {
        (readiness(&relay).await.1["database"] == "ok").then_some(())
    })
    .await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
}
