//! The order of ids is the order of commits, because of the ordering lock.

use tokio_postgres::Client;

use crate::support::{Database, Follower, Relay, event, until, within};

const INSERT: &str = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
     body) \
     VALUES (gen_random_uuid(), 'default', 's', now(), '{}')";

/// The number of events, of two, that a tail sees: A inserts, B inserts and commits if it can, the
/// reader reads, A commits, B commits, and the reader continues after the last id that it saw.
async fn seen(database: &Database, b_waits: bool) -> usize {
    let (a, b, reader) =
        (database.client().await, database.client().await, database.client().await);
    a.batch_execute("BEGIN").await.expect("A begins");
    a.batch_execute(INSERT).await.expect("A inserts");
    let b_pid: i32 = b.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
    let b =
        tokio::spawn(async move { b.batch_execute(INSERT).await.expect("B inserts and commits") });
    if b_waits {
        until("B to wait for the lock", || waits(&reader, b_pid)).await;
    } else {
        until("B to have committed", || async { (count(&reader, 0).await.0 == 1).then_some(()) })
            .await;
    }
    let (first, cursor) = count(&reader, 0).await;
    a.batch_execute("COMMIT").await.expect("A commits");
    within("B to commit", b).await.expect("B");
    let (second, _) = count(&reader, cursor).await;
    first + second
}

async fn waits(reader: &Client, pid: i32) -> Option<()> {
    let sql = "SELECT FROM pg_locks WHERE pid = $1 AND locktype = 'advisory' AND NOT granted";
    let rows = reader.query(sql, &[&pid]).await.expect("an answer");
    (!rows.is_empty()).then_some(())
}

/// The number of events after `cursor`, and the id of the last one.
async fn count(reader: &Client, cursor: i64) -> (usize, i64) {
    let sql = "SELECT id FROM progress_event WHERE id > $1 ORDER BY id";
    let rows = reader.query(sql, &[&cursor]).await.expect("an answer");
    (rows.len(), rows.last().map_or(cursor, |row| row.get(0)))
}

#[tokio::test]
async fn with_the_lock_nothing_is_skipped() {
    let database = Database::migrated().await;
    assert_eq!(seen(&database, true).await, 2);
}

#[tokio::test]
async fn without_the_lock_the_same_steps_skip_one() {
    let database = Database::migrated().await;
    let sql = "ALTER TABLE progress_event DISABLE TRIGGER progress_event_order";
    database.client().await.batch_execute(sql).await.expect("no lock");
    assert_eq!(seen(&database, false).await, 1);
}

/// A session that replicates skips ordinary triggers, and takes the lock all the same.
#[tokio::test]
async fn a_replicating_session_takes_the_lock_too() {
    let database = Database::migrated().await;
    let client = database.client().await;
    client.batch_execute("SET session_replication_role = replica; BEGIN").await.expect("BEGIN");
    client.batch_execute(INSERT).await.expect("an insert");
    let sql =
        "SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND granted";
    assert_eq!(client.query(sql, &[]).await.expect("an answer").len(), 1);
}

/// The same two writers, one of them a relay. The reader is a subscriber of another relay.
#[tokio::test]
async fn a_post_behind_an_open_transaction_waits_and_both_are_delivered_in_order() {
    let database = Database::new().await;
    let (one, two) = (Relay::start(&database, &[]).await, Relay::start(&database, &[]).await);
    let mut follower = Follower::new(&two.url, &["default"], None).await;
    let (a, reader) = (database.client().await, database.client().await);
    a.batch_execute("BEGIN").await.expect("A begins");
    a.batch_execute(&INSERT.replace("'{}'", "'{\"n\":1}'")).await.expect("A inserts");
    let second = event(2);
    let post = one.post(&second);
    let commit = async {
        until("the POST to wait for the lock", async || {
            let sql = "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) \
                 WHERE locktype = 'advisory' AND NOT granted AND application_name = \
                 'progress-relay writer' \
                   AND datname = current_database()";
            (!reader.query(sql, &[]).await.expect("an answer").is_empty()).then_some(())
        })
        .await;
        assert_eq!(count(&reader, 0).await.0, 0, "neither is committed");
        a.batch_execute("COMMIT").await.expect("A commits");
    };
    let (answer, ()) = tokio::join!(post, commit);
    assert_eq!(answer["accepted"], 1);
    follower.take(2).await;
    assert_eq!(follower.marks(), [1, 2]);
}
