//! A snapshot equals the fold of its events, also after the epoch, the table or the leader changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{
    all_agree, event_of, fill, from_table, leading_backend, newest, post_on, saved, summary,
};
use crate::support::class::without_times;
use crate::support::{Database, Relay, run, until};

/// Renews the nonce, which begins a new epoch.
async fn new_epoch(database: &Database) {
    let renewed = run(&["migrate", "--new-epoch"], &[("DATABASE_URL", &database.url())]).await;
    assert_eq!(renewed.code, Some(0), "{}", renewed.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_renewed_again_and_again_empties_no_class() {
    const CLASSES: [&str; 4] = ["A", "B", "C", "D"];
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    fill(&relays[0], &CLASSES, 3).await;
    saved(&database.client().await).await;
    let stop = Arc::new(AtomicBool::new(false));
    let posting = post_on(&relays[1], "A", &stop);
    // The pauses leave room for whole rounds of the leader, and are not in step with them.
    for pause in [1_300, 2_100, 1_700, 2_900] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        new_epoch(&database).await;
    }
    tokio::time::sleep(Duration::from_millis(2_300)).await;
    stop.store(true, Ordering::Relaxed);
    posting.await.expect("a poster");
    all_agree(&database, &[&relays[0], &relays[1]], &CLASSES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_emptied_and_its_ids_given_out_again_leaves_nothing_behind() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    fill(&relays[0], &["A", "B"], 30).await;
    for relay in &relays {
        summary(relay, "A").await;
    }
    let client = database.client().await;
    saved(&client).await;
    client.batch_execute("TRUNCATE progress_event RESTART IDENTITY").await.expect("an empty table");
    // Fewer students than before, so that rows of the old ones would show.
    fill(&relays[1], &["A"], 3).await;
    all_agree(&database, &[&relays[0], &relays[1]], &["A", "B"]).await;
    let rows = client.query("SELECT FROM student_state", &[]).await.expect("rows").len();
    assert_eq!(rows, 3, "rows of the void snapshot remain");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_events_are_gone_from_every_replica_and_from_the_snapshots() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    fill(&relays[0], &["A", "B", "C"], 5).await;
    let client = database.client().await;
    for relay in &relays {
        for class in ["A", "B", "C"] {
            summary(relay, class).await;
        }
    }
    saved(&client).await;
    client
        .batch_execute(
            "DELETE FROM progress_event WHERE class_id = 'A' AND student_id = 's1';
             DELETE FROM progress_event WHERE class_id = 'B'",
        )
        .await
        .expect("deletions");
    for relay in &relays {
        for class in ["A", "B", "C"] {
            let expected = from_table(&client, class).await;
            until("a summary without the deleted events", || async {
                (without_times(summary(relay, class).await) == expected).then_some(())
            })
            .await;
        }
    }
    all_agree(&database, &[&relays[0], &relays[1]], &["A", "B", "C"]).await;
    let rows = "SELECT class_id, count(*) FROM student_state GROUP BY 1 ORDER BY 1";
    until("the rows of deleted events to be gone", || async {
        let rows = client.query(rows, &[]).await.expect("rows");
        let rows: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        (rows == [("A".to_owned(), 4), ("C".to_owned(), 5)]).then_some(())
    })
    .await;
    let listed: Value = relays[1]
        .connection()
        .await
        .get("/api/classes")
        .await
        .expect("an answer")
        .json()
        .expect("JSON");
    let names: Vec<&str> = listed["classes"]
        .as_array()
        .expect("classes")
        .iter()
        .filter_map(|c| c["classId"].as_str())
        .collect();
    assert_eq!(names, ["A", "C"], "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_is_rebuilt_is_right_on_replicas_that_run() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let first = Relay::start(&database, &[]).await;
    fill(&first, &["A"], 5).await;
    saved(&client).await;
    let expected = from_table(&client, "A").await;
    client
        .batch_execute("UPDATE student_state SET cells_executed = 1000")
        .await
        .expect("an update");
    let second = Relay::start(&database, &[]).await;
    assert!(
        without_times(summary(&second, "A").await) != expected,
        "the replica starts from the snapshot"
    );
    let url = database.url();
    let rebuilt = run(&["rebuild-state"], &[("DATABASE_URL", &url)]).await;
    assert_eq!(rebuilt.code, Some(0), "{}{}", rebuilt.stdout, rebuilt.stderr);
    until("the replica to load the class again", || async {
        (without_times(summary(&second, "A").await) == expected).then_some(())
    })
    .await;
    fill(&first, &["A"], 5).await;
    all_agree(&database, &[&first, &second], &["A"]).await;
}

#[tokio::test]
async fn a_check_that_compared_nothing_is_no_success() {
    let database = Database::migrated().await;
    let url = database.url();
    let check = async || run(&["rebuild-state", "--check"], &[("DATABASE_URL", &url)]).await;
    let empty = check().await;
    assert_eq!(empty.code, Some(1), "{}", empty.stdout);
    assert!(empty.stderr.contains("nothing was compared"), "{}", empty.stderr);
    let insert = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
        SELECT gen_random_uuid(), 'A', 's', now(), '{\"eventType\":\"help\"}' FROM \
        generate_series(1, 3)";
    database.client().await.batch_execute(insert).await.expect("events");
    let unchecked = check().await;
    assert_eq!(unchecked.code, Some(1), "{}", unchecked.stdout);
    assert!(unchecked.stderr.contains("nothing was compared"), "{}", unchecked.stderr);
    let made = run(&["rebuild-state"], &[("DATABASE_URL", &url)]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let checked = check().await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(
        checked.stdout.contains("3 events up to id 3") && checked.stdout.contains("no difference"),
        "{}",
        checked.stdout
    );
}

/// Snapshots do not wait for the disk. A crash of the server undoes the newest of them, and the
/// leader, which lives on, must not rely on having written them.
#[tokio::test(flavor = "multi_thread")]
async fn snapshots_that_a_crash_of_the_server_has_undone_are_written_again() {
    const TABLES: [&str; 6] = [
        "class_state",
        "state_through",
        "student_state",
        "cell_state",
        "student_cell_state",
        "activity_state",
    ];
    let database = Database::migrated().await;
    let client = database.client().await;
    let relay = Relay::start(&database, &[]).await;
    fill(&relay, &["A"], 3).await;
    saved(&client).await;
    let keep = TABLES.map(|table| format!("CREATE TABLE kept_{table} AS TABLE {table};")).concat();
    client.batch_execute(&keep).await.expect("a copy");
    fill(&relay, &["A", "B"], 5).await;
    saved(&client).await;
    // As after a crash: the newest rows are missing, and the leader's session has ended.
    let backend = leading_backend(&client).await;
    let undo = TABLES
        .map(|table| format!("DELETE FROM {table}; INSERT INTO {table} TABLE kept_{table};"))
        .concat();
    let undo = format!("BEGIN; {undo} SELECT pg_terminate_backend({backend}); COMMIT");
    client.batch_execute(&undo).await.expect("a crash");
    until("the next term", || async { (relay.terms_as_leader() > 1).then_some(()) }).await;
    all_agree(&database, &[&relay], &["A", "B"]).await;
}

/// The leader tracks 50,000 classes with new events; more than that make it scan the table.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes to load 51,000 classes; the model and unit tests use small numbers"]
async fn more_classes_at_once_than_the_leader_tracks() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relay = Relay::start(&database, &[]).await;
    for batch in 0..51 {
        let events: Vec<Value> =
            (0..1_000).map(|n| event_of(&format!("c{batch}-{n}"), "s", 1)).collect();
        relay.post(&events.into()).await;
    }
    let newest = newest(&client).await;
    let began = Instant::now();
    loop {
        let sql = "SELECT through_id FROM state_through JOIN progress_log USING (nonce)";
        let through =
            client.query_opt(sql, &[]).await.expect("an answer").map_or(0, |row| row.get(0));
        if newest <= through {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(900), "through {through} of {newest}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eprintln!("the snapshots hold 51,000 classes after {:?}", began.elapsed());
    let kept: i64 =
        client.query_one("SELECT count(*) FROM class_state", &[]).await.expect("a count").get(0);
    assert_eq!(kept, 51_000);
}
