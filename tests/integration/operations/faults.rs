//! Connections, relays and the database fail under load. No event is lost, and none is delivered
//! twice.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    Database, Follower, Load, Pooler, Raw, Relay, data_folder, event, origin, readiness, until,
    within,
};

/// Stores an event with SQL, on an open connection.
async fn insert(client: &tokio_postgres::Client, mark: i64) {
    let sql = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
         VALUES (gen_random_uuid(), 'default', 's', now(), json_build_object('n', $1::bigint))";
    client.execute(sql, &[&mark]).await.expect("an insert");
}

/// The status of `/readyz` and one of its checks.
async fn check(relay: &Relay, name: &str) -> (u16, String) {
    let (status, checks) = readiness(relay).await;
    (status, checks[name].as_str().expect("a check").to_owned())
}

/// Asserts that the follower has every acknowledged event once, and no other.
async fn assert_all_came(relay: &Relay, follower: &mut Follower, mut acknowledged: HashSet<i64>) {
    const LAST: i64 = 77_777_777;
    relay.post(&event(LAST as usize)).await;
    acknowledged.insert(LAST);
    follower.until_mark(LAST).await;
    assert_eq!(follower.marks().into_iter().collect::<HashSet<_>>(), acknowledged);
    assert_eq!(follower.events.len(), acknowledged.len(), "an event came twice");
}

/// The listener cannot reconnect for a while. Events that are stored meanwhile are delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listener_s_backend_is_terminated() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let sql = database.client().await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let load = Load::start(&relay.url, 8);
    let mut inserted = Vec::new();
    for round in 1..=3 {
        load.more(50).await;
        database.allow_connections(false).await;
        assert_eq!(
            database.terminate("progress-relay listener").await,
            ["progress-relay listener"]
        );
        until("the relay to notice", async || {
            let (status, listener) = check(&relay, "listener").await;
            assert_eq!(status, 200, "the relay still delivers: {:?}", readiness(&relay).await);
            (listener != "ok").then_some(())
        })
        .await;
        insert(&sql, -round).await;
        load.more(50).await;
        follower.past_mark(-round).await;
        insert(&sql, -10 * round).await;
        inserted.extend([-round, -10 * round]);
        database.allow_connections(true).await;
        until("bells to be heard", async || {
            (check(&relay, "listener").await.1 == "ok").then_some(())
        })
        .await;
    }
    let mut acknowledged = load.stop().await;
    acknowledged.extend(inserted);
    assert_all_came(&relay, &mut follower, acknowledged).await;
    assert!(relay.log().contains("connection=\"listener\""), "{}", relay.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_the_relay_s_backends_are_terminated() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let load = Load::start(&relay.url, 8);
    for _ in 0..5 {
        load.more(50).await;
        relay.ready().await;
        let ended = database.terminate("progress-relay %").await;
        for name in ["writer", "tail", "listener"] {
            assert!(ended.contains(&format!("progress-relay {name}")), "no {name} in {ended:?}");
        }
    }
    load.more(50).await;
    let acknowledged = load.stop().await;
    assert_all_came(&relay, &mut follower, acknowledged).await;
}

/// The process id of the private postmaster of this folder.
fn postmaster(folder: &Path) -> Option<Pid> {
    let file = std::fs::read_to_string(folder.join("postgresql/postmaster.pid")).ok()?;
    Some(Pid::from_raw(file.lines().next()?.parse().ok()?))
}

/// The relay is killed alone, and then together with its PostgreSQL, as when the power is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_is_killed_and_started_again_on_its_private_database() {
    let path = data_folder();
    let folder = path.to_str().expect("UTF-8");
    let mut relay = Relay::serve(&["--data-dir", folder]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let before_all = origin(follower.cursor.as_deref().expect("a cursor"));
    let mut acknowledged = HashSet::new();
    for round in 0..4 {
        let load = Load::start_at(&relay.url, 4, round);
        load.more(40).await;
        let database = postmaster(&path).expect("a pid file");
        let both = round % 2 == 1;
        if both {
            kill(database, Signal::SIGKILL).expect("a postmaster");
        }
        relay.kill().await;
        acknowledged.extend(load.cut().await);
        relay = Relay::serve(&["--data-dir", folder]).await;
        assert_eq!(
            postmaster(&path) == Some(database),
            !both,
            "the relay adopts a server that lives"
        );
        follower.move_to(&relay.url).await;
        follower.until_live().await;
        let came: HashSet<i64> = follower.marks().into_iter().collect();
        let missing: Vec<&i64> = acknowledged.difference(&came).collect();
        assert!(
            missing.is_empty(),
            "acknowledged in round {round} or before, and lost: {missing:?}"
        );
        assert_eq!(came.len(), follower.events.len(), "an event came twice");
    }
    // The follower, which was interrupted, has the same events as the table.
    let mut whole = Follower::new(&relay.url, &["default"], Some(&before_all)).await;
    whole.until_live().await;
    assert_eq!(whole.ids(), follower.ids());
    // The relay still accepts events.
    relay.post(&event(77_777_777)).await;
    follower.until_mark(77_777_777).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_private_database_is_killed_under_load() {
    let folder = data_folder();
    let relay = Relay::serve(&["--data-dir", folder.to_str().expect("UTF-8")]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let load = Load::start(&relay.url, 8);
    for _ in 0..2 {
        load.more(50).await;
        let pid = postmaster(&folder).expect("a pid file");
        kill(pid, Signal::SIGKILL).expect("a postmaster");
        until("another postmaster", async || postmaster(&folder).filter(|&other| other != pid))
            .await;
    }
    load.more(50).await;
    let acknowledged = load.stop().await;
    assert_all_came(&relay, &mut follower, acknowledged).await;
}

/// While the database is away, POSTs wait for it and new subscribers are told to come back later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_wait_while_the_database_refuses() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--commit-timeout", "25s"]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    database.allow_connections(false).await;
    assert!(database.terminate("progress-relay %").await.len() >= 4);
    until("the relay to notice", async || {
        (check(&relay, "database").await.1 != "ok" && check(&relay, "tail").await.1 != "ok")
            .then_some(())
    })
    .await;
    let answers = async {
        let waiting = event(1);
        let post = relay.post(&waiting);
        let mut post = std::pin::pin!(post);
        // Longer than the pauses between the clients' first retries.
        let early = tokio::time::timeout(Duration::from_millis(1500), &mut post).await;
        assert!(early.is_err(), "answered while the database was away: {early:?}");
        assert_eq!(check(&relay, "database").await.0, 200, "all replicas share the cause");
        // No relay knows where a subscription would start.
        assert_eq!(Raw::connect(&relay).await.closed().await, 1013);
        database.allow_connections(true).await;
        post.await
    };
    let answer = within("the POST", answers).await;
    assert_eq!(answer["accepted"], 1);
    follower.take(1).await;
    relay.ready().await;
}

/// A transaction that holds the ordering lock is named in `/readyz` and in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_holder_of_the_lock_is_named() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--commit-timeout", "1s"]).await;
    let client = database.client().await;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
    client.batch_execute("BEGIN; SELECT progress_event_lock()").await.expect("the lock");
    let named = until("the holder to be named", || async {
        assert_eq!(relay.try_post(&event(1)).await.status, 503);
        let lock = check(&relay, "lock").await.1;
        (lock != "ok").then_some(lock)
    })
    .await;
    assert!(named.contains(&format!("pg_terminate_backend({pid})")), "{named}");
    assert!(relay.log().contains(&format!("pid={pid}")), "{}", relay.log());
    client.batch_execute("COMMIT").await.expect("the lock back");
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
}

/// The database may start after the relay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_yet_is_waited_for() {
    let database = Database::new().await;
    let pooler = Pooler::before(&database, false);
    database.allow_connections(false).await;
    let started = async {
        let relay = Relay::begin(&["--database-url", pooler.url()]).await;
        relay.ready().await;
        relay
    };
    let there = async {
        until("some attempts", async || (pooler.connections() >= 3).then_some(())).await;
        database.allow_connections(true).await;
    };
    let (relay, ()) = tokio::join!(started, there);
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
}

/// A server that restarts ends the connection of a relay that is applying the migrations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_restarts_during_the_migrations_is_waited_for() {
    let database = Database::new().await;
    let client = database.client().await;
    // The lock of the migrations stops the relay at this point.
    let lock = "SELECT pg_advisory_lock(x'70726d67'::int, \
         ('public'::regnamespace::oid::bigint - 2147483648)::int)";
    client.batch_execute(lock).await.expect("the lock");
    let ended = async {
        until("the relay to wait for the migrations' lock", async || {
            let sql = "SELECT FROM pg_stat_activity WHERE datname = current_database() \
                 AND pid <> pg_backend_pid() AND query LIKE '%pg_try_advisory_lock%'";
            (!client.query(sql, &[]).await.expect("an answer").is_empty()).then_some(())
        })
        .await;
        assert_eq!(database.terminate("progress-relay %").await, ["progress-relay start"]);
        client.batch_execute("SELECT pg_advisory_unlock_all()").await.expect("the lock back");
    };
    let (relay, ()) = tokio::join!(Relay::start(&database, &[]), ended);
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
}
