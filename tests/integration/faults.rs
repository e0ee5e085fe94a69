//! What fails under load: connections, relays, the database. Nothing is lost, nothing comes twice.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use progress_relay::http::client::BaseUrl;
use progress_relay::http::client::http::Connection;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::{Database, Follower, Relay, data_folder, event, until};

/// Students who post one event after the other, each again until it is acknowledged, as the clients in the field do.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    posters: Vec<JoinHandle<Vec<i64>>>,
}

impl Load {
    fn start(url: &BaseUrl, posters: usize) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let posters = (0..posters)
            .map(|poster| {
                let (url, stop, acknowledged) = (url.clone(), Arc::clone(&stop), Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    let mut marks = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let mark = 100_000 * poster + marks.len();
                        post_until_acknowledged(&url, &event(mark)).await;
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                        marks.push(mark as i64);
                    }
                    marks
                })
            })
            .collect();
        Self { stop, acknowledged, posters }
    }

    /// Waits until `count` more were acknowledged.
    async fn more(&self, count: usize) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + count;
        until("POSTs to be acknowledged", || async {
            (self.acknowledged.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// Stops; returns the marks of what was acknowledged.
    async fn stop(self) -> HashSet<i64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut marks = HashSet::new();
        for poster in self.posters {
            marks.extend(poster.await.expect("a poster"));
        }
        marks
    }
}

async fn post_until_acknowledged(url: &BaseUrl, event: &Value) {
    let body = event.to_string();
    until("an acknowledgement", || async {
        let mut connection = Connection::open(url).await.ok()?;
        let response = connection.post_json("/student-progress", body.clone()).await.ok()?;
        response.status.is_success().then_some(())
    })
    .await;
}

/// Everything acknowledged came to the follower, once.
async fn assert_all_came(follower: &mut Follower, acknowledged: &HashSet<i64>) {
    follower.take(acknowledged.len()).await;
    assert_eq!(&follower.marks().into_iter().collect::<HashSet<_>>(), acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listener_s_backend_is_terminated() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let load = Load::start(&relay.url, 8);
    for _ in 0..5 {
        load.more(50).await;
        assert_eq!(database.terminate("progress-relay listener").await, 1);
        // While it is away, by another road.
        let sql = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
             VALUES (gen_random_uuid(), 'another', 's', now(), '{}')";
        database.client().await.batch_execute(sql).await.expect("an insert");
        relay.ready().await;
    }
    let acknowledged = load.stop().await;
    assert_all_came(&mut follower, &acknowledged).await;
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
        assert!(database.terminate("progress-relay %").await >= 5);
    }
    load.more(50).await;
    let acknowledged = load.stop().await;
    assert_all_came(&mut follower, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_is_killed_and_started_again_on_its_private_database() {
    let folder = data_folder();
    let folder = folder.to_str().expect("UTF-8");
    let mut relay = Relay::serve(&["--data-dir", folder]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    follower.until_live().await;
    let mut all = HashSet::new();
    for round in 0..3 {
        let load = Load::start(&relay.url, 4);
        load.more(40).await;
        let posters = load.posters.iter().map(JoinHandle::abort_handle).collect::<Vec<_>>();
        let acknowledged = Arc::clone(&load.acknowledged);
        relay.kill().await;
        // Nobody is there to acknowledge what is under way.
        posters.iter().for_each(|poster| poster.abort());
        all.insert((round, acknowledged.load(Ordering::Relaxed)));
        relay = Relay::serve(&["--data-dir", folder]).await;
        assert!(relay.log().contains("adopted"), "{}", relay.log());
        follower.move_to(&relay.url).await;
        follower.until_live().await;
        let before = follower.events.len();
        assert!(
            before >= all.iter().map(|(_, count)| count).sum::<usize>(),
            "an acknowledged event is missing"
        );
    }
    let last = relay.post(&event(7_777_777)).await;
    let count = follower.events.len() + 1;
    follower.take(count).await;
    assert_eq!(follower.cursor.as_deref(), last["cursor"].as_str());
    let distinct: HashSet<String> =
        follower.events.iter().map(|event| event["eventId"].to_string()).collect();
    assert_eq!(distinct.len(), follower.events.len(), "an event came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_private_database_is_killed_under_load() {
    let folder = data_folder();
    let relay = Relay::serve(&["--data-dir", folder.to_str().expect("UTF-8")]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let load = Load::start(&relay.url, 8);
    for _ in 0..2 {
        load.more(50).await;
        let file = std::fs::read_to_string(folder.join("postgresql/postmaster.pid")).expect("a pid file");
        let pid: i32 = file.lines().next().and_then(|line| line.parse().ok()).expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a postmaster");
        until("another postmaster", || async {
            let file = std::fs::read_to_string(folder.join("postgresql/postmaster.pid")).ok()?;
            (file.lines().next()? != pid.to_string()).then_some(())
        })
        .await;
    }
    load.more(50).await;
    let acknowledged = load.stop().await;
    assert_all_came(&mut follower, &acknowledged).await;
}

/// A database that is away for longer than the clients' own retries last: POSTs wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_wait_while_the_database_refuses() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let admin = database.client().await;
    let name: String = admin.query_one("SELECT current_database()::text", &[]).await.expect("a name").get(0);
    // Whoever is connected to the database may not change this: from another one.
    let other = Database::new().await.client().await;
    other.batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await.expect("closed");
    assert!(database_terminate(&other, &name).await >= 5);
    let waiting = event(1);
    let post = relay.post(&waiting);
    let outage = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let ready = relay.connection().await.get("/readyz").await.expect("an answer");
        other.batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await.expect("open");
        ready
    };
    let (answer, ready) = tokio::join!(post, outage);
    assert_eq!(answer["accepted"], 1);
    assert_eq!(ready.status, 503);
    follower.take(1).await;
    relay.ready().await;
}

/// A transaction that keeps the ordering lock is named where an operator looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_the_lock_is_named() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--commit-timeout", "1s"]).await;
    let client = database.client().await;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
    client.batch_execute("BEGIN; SELECT progress_event_lock()").await.expect("the lock");
    let named = until("the holder to be named", || async {
        assert_eq!(relay.try_post(&event(1)).await.status, 503);
        let ready = relay.connection().await.get("/readyz").await.expect("an answer");
        let body: Value = ready.json().expect("JSON");
        let lock = body["checks"]["lock"].as_str().expect("text").to_owned();
        (lock != "ok").then_some(lock)
    })
    .await;
    assert!(named.contains(&format!("pg_terminate_backend({pid})")), "{named}");
    assert!(relay.log().contains(&format!("pid={pid}")), "{}", relay.log());
    client.batch_execute("COMMIT").await.expect("the lock back");
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
}

async fn database_terminate(client: &tokio_postgres::Client, name: &str) -> i64 {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = $1 AND application_name LIKE 'progress-relay%'";
    client.query_one(sql, &[&name]).await.expect("an answer").get(0)
}
