//! One elected replica writes the snapshots, and another one follows when it freezes or vanishes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::Client;

use super::{all_agree, fill, leading_backend, post_on, saved};
use crate::support::{Database, PATIENCE, Relay, until};

/// A new leader is elected at most this long after the old one has frozen or vanished.
const SUCCESSION: Duration = Duration::from_secs(20);

/// Takes the lock of the leader.
const TAKE_LOCK: &str = "SELECT pg_advisory_lock(x'70726c64'::int, \
     ('progress_event'::regclass::oid::bigint - 2147483648)::int)";
/// Takes the lock of a leader of release 0.1.0.
const TAKE_FORMER_LOCK: &str = "SELECT pg_advisory_lock(8102661169702265204)";

/// A relay that was elected, and another one.
async fn leader_first(database: &Database) -> (Relay, Relay) {
    let leader = Relay::start(database, &[]).await;
    until("a leader", || async { (leader.terms_as_leader() > 0).then_some(()) }).await;
    (leader, Relay::start(database, &[]).await)
}

/// Makes the database log the backends that write snapshots, with increasing numbers.
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
    until("the leader to write snapshots", || async {
        let sql = "SELECT FROM written WHERE pid = $1";
        (client.query(sql, &[&backend]).await.expect("rows").len() > 2).then_some(())
    })
    .await;
    leader.signal(Signal::SIGSTOP);
    let frozen = Instant::now();
    while other.terms_as_leader() == 0 && frozen.elapsed() < SUCCESSION {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (terms, took) = (other.terms_as_leader(), frozen.elapsed());
    if terms == 0 {
        leader.signal(Signal::SIGCONT);
        panic!("no other replica leads {took:?} after the leader was frozen");
    }
    eprintln!("another leads {took:?} after the leader was frozen");
    let last = "SELECT coalesce(max(number), 0) FROM written";
    let before: i64 = client.query_one(last, &[]).await.expect("a number").get(0);
    leader.signal(Signal::SIGCONT);
    until("the thawed leader to notice", || async {
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
    assert_eq!(leader.terms_as_leader(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_holder_of_the_lock_is_replaced() {
    let database = Database::migrated().await;
    let client = database.client().await;
    // This session is no relay: only the replica that waits for the lock can end it.
    let silent = database.client().await;
    silent.batch_execute(TAKE_LOCK).await.expect("the lock");
    let held = Instant::now();
    let relay = Relay::start(&database, &[]).await;
    while relay.terms_as_leader() == 0 && held.elapsed() < SUCCESSION {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(relay.terms_as_leader() > 0, "{:?} after the lock was taken", held.elapsed());
    fill(&relay, &["A"], 3).await;
    saved(&client).await;
}

/// While replicas are upgraded one by one, one of them leads.
#[tokio::test(flavor = "multi_thread")]
async fn no_replica_leads_beside_a_leader_of_an_earlier_release() {
    let database = Database::migrated().await;
    let former = database.client().await;
    former.batch_execute(TAKE_FORMER_LOCK).await.expect("the former lock");
    let relay = Relay::start(&database, &[]).await;
    // After each attempt a replica that is not elected looks for a silent leader.
    let looks = std::sync::Mutex::new(std::collections::BTreeSet::new());
    until("several attempts", || async {
        let sql = "SELECT state_change::text FROM pg_stat_activity WHERE state = 'idle' AND \
             datname = current_database() AND application_name = 'progress-relay state' AND \
             query LIKE '%wait_event_type%'";
        let look = former.query_opt(sql, &[]).await.expect("an answer");
        let mut looks = looks.lock().expect("looks");
        looks.extend(look.map(|row| row.get::<_, String>(0)));
        (looks.len() >= 3).then_some(())
    })
    .await;
    assert_eq!(relay.terms_as_leader(), 0);
    former.batch_execute("SELECT pg_advisory_unlock_all()").await.expect("the lock back");
    until("a leader", || async { (relay.terms_as_leader() > 0).then_some(()) }).await;
    let refused = "SELECT pg_try_advisory_lock(8102661169702265204)";
    assert!(!former.query_one(refused, &[]).await.expect("an answer").get::<_, bool>(0));
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
    until("the leader to give its term up", || async {
        leader.log().contains("connection=\"state\"").then_some(())
    })
    .await;
    kill(backend, Signal::SIGCONT).expect("a backend");
    let thawed = Instant::now();
    let led = leader.terms_as_leader();
    until("a leader", || async {
        (leader.terms_as_leader() > led || other.terms_as_leader() > 0).then_some(())
    })
    .await;
    assert!(thawed.elapsed() < PATIENCE);
    all_agree(&database, &[&leader, &other], &["A", "B"]).await;
}

#[tokio::test]
async fn a_leader_with_nothing_to_write_is_not_silent() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relay = Relay::start(&database, &[]).await;
    until("a leader", || async { (relay.terms_as_leader() > 0).then_some(()) }).await;
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
