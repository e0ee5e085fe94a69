//! What is acknowledged is stored, what is stored is delivered, and what cannot be promised is
//! announced: one test for each way in which that was seen to fail.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::{Value, json};

use crate::support::{
    Database, Follower, Pooler, Relay, data_folder, event, event_of, parts, run, until, within,
};

/// A statement trigger that refuses everything with an SQLSTATE of an operator's choice.
async fn refuse_all(database: &Database, sqlstate: &str) {
    let sql = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'nothing is taken today' USING ERRCODE = '{sqlstate}'; END $$;
         CREATE TRIGGER refuse AFTER INSERT ON progress_event FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    );
    database.client().await.batch_execute(&sql).await.expect("a trigger");
}

async fn checks(relay: &Relay) -> (u16, Value) {
    let response = relay.connection().await.get("/readyz").await.expect("an answer");
    (response.status.as_u16(), response.json::<Value>().expect("JSON")["checks"].clone())
}

/// A full NOTIFY queue is 54000, an operator's trigger P0001; whatever it is, as long as nothing
/// goes through no event is to blame: a client in the field would drop it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_refuses_everything_is_no_event_s_fault() {
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
                cause.contains("nothing is taken today") && cause.contains(sqlstate),
                "{cause}"
            );
        }
        let (status, checks) = checks(&relay).await;
        assert_eq!(status, 200, "{sqlstate}: all replicas share it");
        assert!(
            checks["database"].as_str().expect("text").contains("nothing is taken today"),
            "{checks}"
        );
        // It recovers by itself, without a POST to find out.
        database
            .client()
            .await
            .batch_execute("DROP TRIGGER refuse ON progress_event")
            .await
            .expect("gone");
        until("the relay to find out", async || {
            (self::checks(&relay).await.1["database"] == "ok").then_some(())
        })
        .await;
        let answer = relay.post(&batch.into()).await;
        // What was answered 503 may have been stored the moment the trigger was gone: once.
        let number = |name: &str| answer[name].as_u64().expect("a number");
        assert_eq!(number("accepted") + number("duplicates"), 20, "{sqlstate}: {answer}");
        relay.post(&event(99)).await;
        follower.until_mark(99).await;
        let mut marks = follower.marks();
        marks.sort_unstable();
        marks.retain(|mark| (0..20).contains(mark));
        assert_eq!(marks, (0..20).collect::<Vec<_>>(), "{sqlstate}");
        let lines =
            relay.log().lines().filter(|line| line.contains("nothing is taken today")).count();
        assert!((1..=6).contains(&lines), "{sqlstate}: {lines} lines\n{}", relay.log());
    }
}

/// An operator's rule about some events: the others are stored, and these are not dropped by an
/// answer below 500.
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
    // Its neighbours are stored.
    follower.take(7).await;
    assert_eq!(checks(&relay).await.1["database"], "ok", "the database stores");
    client.batch_execute("ALTER TABLE progress_event DROP CONSTRAINT rule").await.expect("mended");
    let answer = relay.post(&batch.into()).await;
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&1.into(), &7.into()));
    follower.take(8).await;
}

/// Whoever writes with SQL, and has turned it off: its ids must not be given out again after a
/// crash.
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

/// The relay's sessions keep what they have set, whatever the role or a reload says.
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
    // Longer than the role lets a session idle, or a statement wait for a lock.
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

async fn frame(subscriber: &mut Subscriber) -> Frame {
    within("a frame", subscriber.next()).await.expect("a connection that stands")
}

/// Frames until a reset: its reason and cursor.
async fn reset(subscriber: &mut Subscriber) -> (String, String) {
    loop {
        match frame(subscriber).await {
            Frame::Reset { reason, cursor } => return (reason, cursor),
            Frame::Closed { code, .. } => panic!("closed: {code:?}"),
            _ => {}
        }
    }
}

async fn live(relay: &Relay, class: &str) -> (Subscriber, String) {
    let mut subscriber = relay.subscribe(&[class], None).await;
    match frame(&mut subscriber).await {
        Frame::Live { cursor } => (subscriber, cursor),
        other => panic!("{other:?}"),
    }
}

/// `pruned_id` far beyond the sequence, as an operator or a restore may leave it: one reset, and it
/// goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_pruned_beyond_the_end_is_said_once() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&event(1)).await;
    let (mut subscriber, cursor) = live(&relay, "default").await;
    let client = database.client().await;
    client.batch_execute("UPDATE progress_log SET pruned_id = 1000000").await.expect("pruned");
    let (reason, at) = reset(&mut subscriber).await;
    assert_eq!(reason, "expired");
    assert_eq!(parts(&at).1, 1_000_000);
    // The sequence is behind that, so ids would not count: it is raised, in another epoch, once.
    let mut resets = 0;
    relay.post(&event(2)).await;
    loop {
        match frame(&mut subscriber).await {
            Frame::Reset { reason, .. } => {
                assert_eq!(reason, "epoch");
                resets += 1;
            }
            Frame::Progress { .. } => break,
            _ => {}
        }
        // One that was stored in the middle of it is found there when it is sent again, and lies
        // before the reset.
        relay.post(&event(3)).await;
    }
    assert!(resets <= 1, "{resets} resets");
    assert_eq!(reset(&mut relay.subscribe(&["default"], Some(&cursor)).await).await.0, "epoch");
    let sequence: i64 = client
        .query_one("SELECT last_value FROM progress_event_id_seq", &[])
        .await
        .expect("a number")
        .get(0);
    assert!(sequence >= 1_000_000, "{sequence}");
}

async fn students(relay: &Relay, class: &str) -> i64 {
    let path = format!("/api/class/summary?class={class}");
    let response = relay.connection().await.get(&path).await.expect("an answer");
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    response.json::<Value>().expect("JSON")["metrics"]["students"].as_i64().expect("a number")
}

/// Events that an operator deletes with SQL: who stood before them is told, the others of the class
/// too, and the state of the class is made anew on every replica, in the snapshots, and by a relay
/// that starts later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_is_announced_and_followed() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    let client = database.client().await;
    let events: Vec<Value> = (0..40).map(|n| event_of(["kept", "cut"][n % 2], n)).collect();
    relays[0].post(&events.into()).await;
    let (mut cut, before) = live(&relays[1], "cut").await;
    let (mut kept, _) = live(&relays[1], "kept").await;
    for relay in &relays {
        assert_eq!((students(relay, "cut").await, students(relay, "kept").await), (20, 20));
    }
    until("a snapshot", async || {
        let sql = "SELECT FROM class_state WHERE class_id = 'cut' AND students = 20";
        (client.query(sql, &[]).await.ok()?.len() == 1).then_some(())
    })
    .await;
    client
        .batch_execute("DELETE FROM progress_event WHERE class_id = 'cut' AND student_id < 's020'")
        .await
        .expect("a deletion");
    assert_eq!(reset(&mut cut).await.0, "expired");
    for relay in &relays {
        until("the state to be made anew", async || {
            (students(relay, "cut").await == 10).then_some(())
        })
        .await;
        assert_eq!(students(relay, "kept").await, 20);
    }
    let old = format!("{}.1", parts(&before).0);
    let mut resumed = relays[0].subscribe(&["cut"], Some(&old)).await;
    assert_eq!(reset(&mut resumed).await.0, "expired");
    // The other class goes on.
    relays[0].post(&event_of("kept", 50)).await;
    loop {
        match frame(&mut kept).await {
            Frame::Progress { .. } => break,
            Frame::Reset { reason, .. } => panic!("a reset of the other class: {reason}"),
            _ => {}
        }
    }
    until("the snapshot to be made anew", async || {
        let sql = "SELECT FROM class_state JOIN progress_log USING (nonce) WHERE class_id = 'cut' \
             AND students = 10";
        (client.query(sql, &[]).await.ok()?.len() == 1).then_some(())
    })
    .await;
    let checked = run(&["rebuild-state", "--check"], &[("DATABASE_URL", &database.url())]).await;
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    let fresh = Relay::start(&database, &[]).await;
    assert_eq!((students(&fresh, "cut").await, students(&fresh, "kept").await), (10, 21));
}

/// The same where everything goes: with and without ids that begin anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncation_is_announced_and_followed() {
    for (sql, reason) in [
        ("TRUNCATE progress_event", "expired"),
        ("TRUNCATE progress_event RESTART IDENTITY", "epoch"),
    ] {
        let database = Database::migrated().await;
        let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
        let events: Vec<Value> = (0..30).map(event).collect();
        relays[0].post(&events.into()).await;
        let (mut subscriber, _) = live(&relays[1], "default").await;
        assert_eq!(students(&relays[0], "default").await, 30);
        database.client().await.batch_execute(sql).await.expect("an empty table");
        assert_eq!(reset(&mut subscriber).await.0, reason, "{sql}");
        let events: Vec<Value> = (100..110).map(event).collect();
        relays[0].post(&events.into()).await;
        for relay in &relays {
            until("the state to be made anew", async || {
                (students(relay, "default").await == 10).then_some(())
            })
            .await;
        }
        let client = database.client().await;
        until("the snapshot", async || {
            let sql = "SELECT FROM class_state JOIN progress_log USING (nonce) WHERE students = 10";
            (client.query(sql, &[]).await.ok()?.len() == 1).then_some(())
        })
        .await;
        let checked =
            run(&["rebuild-state", "--check"], &[("DATABASE_URL", &database.url())]).await;
        assert_eq!(checked.code, Some(0), "{sql}: {}{}", checked.stdout, checked.stderr);
    }
}

/// The database is away at the start: the port answers, and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_answers_before_the_database_does() {
    let database = Database::new().await;
    database.allow_connections(false).await;
    let relay = Relay::begin(&[
        "--database-url",
        &database.url(),
        "--start-patience",
        "forever",
        "--commit-timeout",
        "1s",
    ])
    .await;
    let alive = relay.connection().await.get("/healthz").await.expect("an answer");
    assert_eq!(alive.status, 200);
    let said = until("the cause to be said", async || {
        let (status, checks) = checks(&relay).await;
        assert_eq!(status, 503);
        let start = checks["start"].as_str().expect("text").to_owned();
        start.contains("not currently accepting connections").then_some(start)
    })
    .await;
    assert!(said.contains("55000"), "PostgreSQL's words: {said}");
    let response = relay.try_post(&event(1)).await;
    assert_eq!(response.status, 503);
    assert!(response.header("access-control-allow-origin").is_some(), "a browser may read it");
    database.allow_connections(true).await;
    relay.ready().await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
}

#[tokio::test]
async fn a_start_gives_up_after_its_patience() {
    let database = Database::new().await;
    database.allow_connections(false).await;
    let flags = [
        "serve",
        "--bind",
        "127.0.0.1:0",
        "--start-patience",
        "500ms",
        "--database-url",
        &database.url(),
    ];
    let began = Instant::now();
    let ended = run(&flags, &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("not currently accepting connections"), "{}", ended.stderr);
    assert!(began.elapsed() < Duration::from_secs(20));
    let wrong = run(&["serve", "--start-patience", "soon"], &[]).await;
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("forever"), "{}", wrong.stderr);
}

/// A column that an operator has added and that no event has: nothing goes through, and it is said
/// in PostgreSQL's words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_knows_what_the_last_statement_met() {
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
    let (_, checks) = checks(&relay).await;
    assert!(checks["database"].as_str().expect("text").contains("\"named\""), "{checks}");
    client.batch_execute("ALTER TABLE progress_event DROP COLUMN school").await.expect("mended");
    until("the relay to find out", async || {
        (self::checks(&relay).await.1["database"] == "ok").then_some(())
    })
    .await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
}

/// Which server each connection leads to is shown.
#[tokio::test]
async fn readiness_names_the_servers() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let response = relay.connection().await.get("/readyz").await.expect("an answer");
    let body: Value = response.json().expect("JSON");
    for part in ["tail", "listener", "writer 1", "writer 2"] {
        let server =
            body["servers"][part].as_str().unwrap_or_else(|| panic!("no {part} in {body}"));
        assert!(server.contains("port"), "{server}");
    }
    assert_eq!(body["checks"]["start"], json!("ok"));
}

/// The connection is lost when the event was stored and before that is heard: it is sent again, and
/// found there.
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

/// A POST whose answer from the database is lost: stored once, delivered once, acknowledged.
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

/// A relay that is frozen in the middle of whatever it does: the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_replica_stops_nobody() {
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

/// An older dump is restored over the database while no relay runs, and nobody tells: who comes
/// back late is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_is_restored_without_a_word() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&(0..10).map(event).collect()).await;
    let binaries: String = database
        .client()
        .await
        .query_one("SELECT setting FROM pg_config WHERE name = 'BINDIR'", &[])
        .await
        .expect("a folder")
        .get(0);
    let folder = data_folder();
    std::fs::create_dir(&folder).expect("a folder");
    let (dump, url) = (folder.join("dump.sql"), database.url());
    let program = |name: &str, flags: &[&str]| {
        let mut command = std::process::Command::new(std::path::Path::new(&binaries).join(name));
        let output =
            command.args(["-d", &url, "-f"]).arg(&dump).args(flags).output().expect("a program");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    };
    program("pg_dump", &["--clean", "--if-exists"]);
    relay.post(&(10..20).map(event).collect()).await;
    let (_, cursor) = live(&relay, "default").await;
    drop(relay);
    program("psql", &["-q", "-v", "ON_ERROR_STOP=1"]);
    let relay = Relay::start(&database, &[]).await;
    // Beyond the cursor's id again, so that nothing but the epoch can tell.
    relay.post(&(30..60).map(event).collect()).await;
    let mut late = relay.subscribe(&["default"], Some(&cursor)).await;
    assert_eq!(reset(&mut late).await.0, "epoch");
    assert!(relay.log().contains("a dump was restored"), "{}", relay.log());
    assert_eq!(students(&relay, "default").await, 40);
    // And only once: the next start finds it at home.
    let (_, cursor) = live(&relay, "default").await;
    drop(relay);
    let relay = Relay::start(&database, &[]).await;
    let mut resumed = relay.subscribe(&["default"], Some(&cursor)).await;
    assert!(matches!(frame(&mut resumed).await, Frame::Live { .. }));
}

/// As containers of some platforms run: a user id that the system has no name for.
#[tokio::test]
async fn a_user_without_a_name_is_told_what_to_do() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can become a user without a name");
        return;
    }
    const NOBODY_KNOWS: u32 = 54_321;
    let folder = data_folder();
    std::fs::create_dir(&folder).expect("a folder");
    chown(&folder, Some(NOBODY_KNOWS), Some(NOBODY_KNOWS)).expect("an owner");
    let program = folder.join("progress-relay");
    std::fs::copy(env!("CARGO_BIN_EXE_progress-relay"), &program).expect("a copy");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("rights");
    let output = std::process::Command::new(&program)
        .args(["serve", "--bind", "127.0.0.1:0", "--data-dir"])
        .arg(folder.join("data"))
        .env("HOME", &folder)
        .current_dir(&folder)
        .uid(NOBODY_KNOWS)
        .gid(NOBODY_KNOWS)
        .output()
        .expect("the program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("54321") && said.contains("--database-url"), "{said}");
    assert!(!said.contains("could not look up"), "initdb's own words: {said}");
}
