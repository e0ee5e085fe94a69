//! The election of the leader: a leader that froze, is silent, or lost its backend is replaced, and
//! writes nothing any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::Client;

use crate::support::state::{all_agree, fill, leading_backend, post_on, saved, terms};
use crate::support::{Database, PATIENCE, Relay, until};

/// Another replica leads at most this long after the leader has frozen or vanished.
const SUCCESSION: Duration = Duration::from_secs(20);

/// The leader, and the other.
async fn leader_first(database: &Database) -> (Relay, Relay) {
    let leader = Relay::start(database, &[]).await;
    until("a leader", || async { (terms(&leader) > 0).then_some(()) }).await;
    (leader, Relay::start(database, &[]).await)
}

/// Logs each write of a snapshot in a table: the writer's backend, with a number that counts up.
async fn log_writers(client: &Client) {
    client
        .batch_execute(
            "CREATE TABLE written (number bigint GENERATED ALWAYS AS IDENTITY, pid int NOT NULL);
             CREATE FUNCTION note_writer() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO written (pid) VALUES (pg_backend_pid()); RETURN NULL; END $$;
             CREATE TRIGGER note_writer AFTER INSERT OR UPDATE OR DELETE ON class_state
             FOR EACH STATEMENT EXECUTE FUNCTION note_writer();
             CREATE TRIGGER note_writer AFTER UPDATE ON state_through
             FOR EACH STATEMENT EXECUTE FUNCTION note_writer()",
        )
        .await
        .expect("a trigger");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_is_replaced_and_writes_nothing_when_it_thaws() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let (leader, other) = leader_first(&database).await;
    fill(&leader, &["A"], 3).await;
    saved(&client).await;
    log_writers(&client).await;
    let backend = leading_backend(&client).await;
    let stop = Arc::new(AtomicBool::new(false));
    let posting = post_on(&other, "A", &stop);
    tokio::time::sleep(Duration::from_millis(700)).await;
    leader.signal(Signal::SIGSTOP);
    let frozen = Instant::now();
    while terms(&other) == 0 && frozen.elapsed() < SUCCESSION {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (terms, took) = (terms(&other), frozen.elapsed());
    if terms == 0 {
        leader.signal(Signal::SIGCONT);
        panic!("no other replica leads {took:?} after the leader was frozen");
    }
    eprintln!("another leads {took:?} after the leader was frozen");
    let last = "SELECT coalesce(max(number), 0) FROM written";
    let before: i64 = client.query_one(last, &[]).await.expect("a number").get(0);
    leader.signal(Signal::SIGCONT);
    until("the thawed one to notice", || async {
        leader.log().contains("connection=\"state\"").then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    posting.await.expect("a poster");
    all_agree(&database, &[&leader, &other], &["A"]).await;
    let sql = "SELECT DISTINCT pid FROM written WHERE number > $1";
    let pids: Vec<i32> =
        client.query(sql, &[&before]).await.expect("pids").iter().map(|row| row.get(0)).collect();
    assert!(
        !pids.is_empty() && !pids.contains(&backend),
        "{pids:?} wrote, {backend} was the frozen one's"
    );
    assert_eq!(self::terms(&leader), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_holder_of_the_lock_is_replaced() {
    let database = Database::migrated().await;
    let client = database.client().await;
    // Not a relay: nothing ends its session but the one that waits for the lock.
    let silent = database.client().await;
    silent.execute("SELECT pg_advisory_lock(8102661169702265204)", &[]).await.expect("the lock");
    let held = Instant::now();
    let relay = Relay::start(&database, &[]).await;
    while terms(&relay) == 0 && held.elapsed() < SUCCESSION {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(terms(&relay) > 0, "{:?} after the lock was taken", held.elapsed());
    fill(&relay, &["A"], 3).await;
    saved(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_backend_hangs_goes_on_when_it_is_gone() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let (leader, other) = leader_first(&database).await;
    fill(&leader, &["A"], 3).await;
    saved(&client).await;
    let backend = Pid::from_raw(leading_backend(&client).await);
    kill(backend, Signal::SIGSTOP).expect("a backend");
    fill(&leader, &["A", "B"], 5).await;
    until("the leader to give it up", || async {
        leader.log().contains("connection=\"state\"").then_some(())
    })
    .await;
    kill(backend, Signal::SIGCONT).expect("a backend");
    let thawed = Instant::now();
    let led = terms(&leader);
    until("a leader", || async { (terms(&leader) > led || terms(&other) > 0).then_some(()) }).await;
    assert!(thawed.elapsed() < PATIENCE);
    all_agree(&database, &[&leader, &other], &["A", "B"]).await;
}

#[tokio::test]
async fn a_leader_with_nothing_to_write_is_not_silent() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relay = Relay::start(&database, &[]).await;
    until("a leader", || async { (terms(&relay) > 0).then_some(()) }).await;
    let backend = leading_backend(&client).await;
    let sql = "SELECT state_change::text FROM pg_stat_activity WHERE pid = $1";
    let mut last: String = client.query_one(sql, &[&backend]).await.expect("a backend").get(0);
    // Several in a row: the first may be the leader's first round.
    for _ in 0..3 {
        last = until("the leader's session to be used", || async {
            let row = client.query_opt(sql, &[&backend]).await.expect("an answer");
            row.map(|row| row.get::<_, String>(0)).filter(|now| *now != last)
        })
        .await;
    }
}
