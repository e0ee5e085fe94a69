//! Events that the relay cannot deliver (deleted, pruned, restored) are announced by one reset.

use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::Value;

use crate::support::{Database, Relay, data_folder, event, event_of, parts, run, until, within};

async fn frame(subscriber: &mut Subscriber) -> Frame {
    within("a frame", subscriber.next()).await.expect("a connection that stands")
}

/// Reads frames until a reset, and returns its reason and cursor.
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

/// `pruned_id` is far beyond the sequence, as an operator or a restore may leave it. There is one
/// reset, and then events are delivered again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_beyond_the_end_is_announced_once() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&event(1)).await;
    let (mut subscriber, cursor) = live(&relay, "default").await;
    let client = database.client().await;
    client.batch_execute("UPDATE progress_log SET pruned_id = 1000000").await.expect("pruned");
    let (reason, at) = reset(&mut subscriber).await;
    assert_eq!(reason, "expired");
    assert_eq!(parts(&at).1, 1_000_000);
    // The sequence is behind `pruned_id`, so new ids would count as pruned. It is raised once, in a
    // new epoch.
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
        // The event may have been stored before the reset. Then a retry finds it and delivers
        // nothing, so another event is posted.
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

/// An operator deletes events with SQL. Every subscriber of the class gets a reset, also one that
/// resumes from before the deletion. Every replica, the snapshots and a relay that starts later
/// fold the class again.
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
        until("the class to be folded again", async || {
            (students(relay, "cut").await == 10).then_some(())
        })
        .await;
        assert_eq!(students(relay, "kept").await, 20);
    }
    let old = format!("{}.1", parts(&before).0);
    let mut resumed = relays[0].subscribe(&["cut"], Some(&old)).await;
    assert_eq!(reset(&mut resumed).await.0, "expired");
    // The other class has no reset.
    relays[0].post(&event_of("kept", 50)).await;
    loop {
        match frame(&mut kept).await {
            Frame::Progress { .. } => break,
            Frame::Reset { reason, .. } => panic!("a reset of the other class: {reason}"),
            _ => {}
        }
    }
    until("the new snapshot", async || {
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

/// All events are deleted, with and without ids that start again.
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
            until("the class to be folded again", async || {
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

/// An older dump is restored while no relay runs and no operator renews the epoch. A subscriber
/// that returns later gets a reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_is_restored_without_a_new_epoch() {
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
    // More events than before the restore, so that only the epoch can show the difference.
    relay.post(&(30..60).map(event).collect()).await;
    let mut late = relay.subscribe(&["default"], Some(&cursor)).await;
    assert_eq!(reset(&mut late).await.0, "epoch");
    assert!(relay.log().contains("a dump was restored"), "{}", relay.log());
    assert_eq!(students(&relay, "default").await, 40);
    // The epoch is renewed only once: the next start finds the same database.
    let (_, cursor) = live(&relay, "default").await;
    drop(relay);
    let relay = Relay::start(&database, &[]).await;
    let mut resumed = relay.subscribe(&["default"], Some(&cursor)).await;
    assert!(matches!(frame(&mut resumed).await, Frame::Live { .. }));
}
