//! Snapshots that cannot lie, and the one replica that writes them. Whatever is done to the epoch,
//! to the table and to the leader: what any replica says of a class, also one that has just been
//! started, is what the table's events make.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use progress_relay::event::{Micros, StoredEvent};
use progress_relay::http::client::http::Connection;
use progress_relay::state::ClassState;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::class::{cursor_id, random_event, summary_at};
use crate::support::{Database, PATIENCE, Relay, run, until};

/// Another replica leads at most this long after the leader has frozen or vanished.
const SUCCESSION: Duration = Duration::from_secs(20);

/// An event of a class, of one of its students.
fn event_of(class: &str, student: &str, cell: usize) -> Value {
    let mut event = random_event(class, 1);
    event["eventType"] = "cell_executed".into();
    event["userId"] = student.into();
    event["cellId"] = format!("cell-{cell}").into();
    event["executionCount"] = json!(fastrand::u32(..));
    event
}

/// What is of one instant in a summary, but for what the time of asking changes.
fn timeless(mut summary: Value) -> Value {
    for student in summary["students"].as_array_mut().expect("students") {
        let student = student.as_object_mut().expect("a student");
        student.remove("status");
        student.remove("statusUntil");
    }
    json!([summary["students"], summary["cells"], summary["grid"], summary["activity"]])
}

/// What the table's events make of a class.
async fn from_table(client: &Client, class: &str) -> Value {
    let sql = "SELECT id, student_id, (extract(epoch FROM received_at) * 1000000)::bigint, \
         body::text \
         FROM progress_event WHERE class_id = $1 ORDER BY id";
    let mut state = ClassState::default();
    for row in client.query(sql, &[&class]).await.expect("events") {
        let (student, body): (&str, &str) = (row.get(1), row.get(3));
        let received_at = Micros(row.get(2));
        state.fold(&StoredEvent { id: row.get(0), class, student, received_at, body });
    }
    timeless(summary_at(&mut state, Micros(0)))
}

/// A replica's summary, asked again while it says that it is not ready to answer.
async fn summary(relay: &Relay, class: &str) -> Value {
    let path = format!("/api/class/summary?include=grid,activity&class={class}");
    until("a summary", || async {
        let response = relay.connection().await.get(&path).await.ok()?;
        (response.status == 200).then(|| response.json().expect("a summary"))
    })
    .await
}

/// Every replica, and one that has just been started, says of each class what the table's events
/// make; so do the snapshots.
async fn all_agree(database: &Database, relays: &[&Relay], classes: &[&str]) {
    let client = database.client().await;
    saved(&client).await;
    let fresh = Relay::start(database, &[]).await;
    let newest = newest(&client).await;
    for class in classes {
        let expected = from_table(&client, class).await;
        for (index, relay) in relays.iter().copied().chain([&fresh]).enumerate() {
            let summary = until("a summary of the newest event", || async {
                let summary = summary(relay, class).await;
                (cursor_id(summary["cursor"].as_str()?) >= newest).then_some(summary)
            })
            .await;
            let found = timeless(summary);
            let counts = (found[0].as_array().map(Vec::len), expected[0].as_array().map(Vec::len));
            assert!(
                found == expected,
                "replica {index} differs in class {class}: students {counts:?}"
            );
        }
    }
    let checked = run(&["rebuild-state", "--check"], &[("DATABASE_URL", &database.url())]).await;
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
}

async fn newest(client: &Client) -> i64 {
    client
        .query_one("SELECT coalesce(max(id), 0) FROM progress_event", &[])
        .await
        .expect("an id")
        .get(0)
}

/// Waits until the snapshots say that they hold every event that there is now, under the current
/// nonce.
async fn saved(client: &Client) {
    let newest = newest(client).await;
    until("the snapshots", || async {
        let sql = "SELECT through_id FROM state_through JOIN progress_log USING (nonce)";
        let row = client.query_opt(sql, &[]).await.expect("an answer")?;
        (row.get::<_, i64>(0) >= newest).then_some(())
    })
    .await;
}

/// Posts into a class 20 times a second, each until it is stored, until it is told to stop.
fn post_on(
    relay: &Relay,
    class: &'static str,
    stop: &Arc<AtomicBool>,
) -> tokio::task::JoinHandle<()> {
    let (url, stop) = (relay.url.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let body = event_of(class, &format!("s{}", fastrand::u8(..3)), fastrand::usize(..5))
                .to_string();
            while let Ok(mut connection) = Connection::open(&url).await {
                match connection.post_json("/student-progress", body.clone()).await {
                    Ok(response) if response.status == 200 => break,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
}

async fn fill(relay: &Relay, classes: &[&str], students: usize) {
    for class in classes {
        let events: Vec<Value> = (0..students * 4)
            .map(|n| event_of(class, &format!("s{}", n % students), n % 7))
            .collect();
        relay.post(&events.into()).await;
    }
}

async fn new_epoch(database: &Database) {
    let renewed = run(&["migrate", "--new-epoch"], &[("DATABASE_URL", &database.url())]).await;
    assert_eq!(renewed.code, Some(0), "{}", renewed.stderr);
}

/// How many times a replica was elected.
fn terms(relay: &Relay) -> usize {
    relay.log().matches("is the leader").count()
}

/// The leader, and the other.
async fn leader_first(database: &Database) -> (Relay, Relay) {
    let leader = Relay::start(database, &[]).await;
    until("a leader", || async { (terms(&leader) > 0).then_some(()) }).await;
    (leader, Relay::start(database, &[]).await)
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
    // Long enough apart for whole rounds of the leader's in between, and not in step with them.
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
    // Fewer students than before: rows of the others would be seen.
    fill(&relays[1], &["A"], 3).await;
    all_agree(&database, &[&relays[0], &relays[1]], &["A", "B"]).await;
    let rows = client.query("SELECT FROM student_state", &[]).await.expect("rows").len();
    assert_eq!(rows, 3, "rows of a snapshot that is void");
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
            until("a summary without what was deleted", || async {
                (timeless(summary(relay, class).await) == expected).then_some(())
            })
            .await;
        }
    }
    all_agree(&database, &[&relays[0], &relays[1]], &["A", "B", "C"]).await;
    let rows = "SELECT class_id, count(*) FROM student_state GROUP BY 1 ORDER BY 1";
    until("rows of what is there alone", || async {
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
        .expect("a tamperer");
    let second = Relay::start(&database, &[]).await;
    assert!(timeless(summary(&second, "A").await) != expected, "it begins with the snapshot");
    let url = database.url();
    let rebuilt = run(&["rebuild-state"], &[("DATABASE_URL", &url)]).await;
    assert_eq!(rebuilt.code, Some(0), "{}{}", rebuilt.stdout, rebuilt.stderr);
    until("the replica to read the class anew", || async {
        (timeless(summary(&second, "A").await) == expected).then_some(())
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
    assert_eq!(empty.code, Some(0), "{}", empty.stderr);
    assert!(empty.stdout.contains("nothing was compared"), "{}", empty.stdout);
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

/// Snapshots do not wait for the disk: a crash of the server undoes the newest of them, while the
/// leader's process goes on and remembers to have written them.
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
    // As after a crash: what was written last is not there, and the sessions are gone.
    let backend = leading_backend(&client).await;
    let undo = TABLES
        .map(|table| format!("DELETE FROM {table}; INSERT INTO {table} TABLE kept_{table};"))
        .concat();
    let undo = format!("BEGIN; {undo} SELECT pg_terminate_backend({backend}); COMMIT");
    client.batch_execute(&undo).await.expect("a crash");
    until("the next term", || async { (terms(&relay) > 1).then_some(()) }).await;
    all_agree(&database, &[&relay], &["A", "B"]).await;
}

/// Who writes snapshots, by its backend's pid, with a number that counts up.
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

/// The backend that holds the leader's lock.
async fn leading_backend(client: &Client) -> i32 {
    let sql = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until("a leader's lock", || async { Some(client.query_opt(sql, &[]).await.ok()??.get(0)) })
        .await
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
        panic!("nobody else leads {took:?} after the leader was frozen");
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
async fn whoever_holds_the_lock_and_says_nothing_is_replaced() {
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

/// Of the classes that the events of one rest of the leader's name, it remembers 50,000.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: 51,000 classes have to come in; the model and unit tests check the same with \
     small numbers"]
async fn more_classes_at_once_than_are_remembered() {
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
