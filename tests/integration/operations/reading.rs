//! The database's load from reading: abandoned requests, answers that end early, a full server.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use crate::support::{Database, Relay, event, until};

/// The connections of each of a relay's two pools.
const POOL_SIZE: usize = 4;

/// The open backends of the relay's pools: process id, pool, and whether a statement is running.
async fn backends(client: &Client) -> Vec<(i32, String, bool)> {
    const BACKENDS: &str = "SELECT pid, application_name, state = 'active' FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name IN ('progress-relay pages', \
         'progress-relay loads')";
    let rows = client.query(BACKENDS, &[]).await.expect("an answer");
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get::<_, Option<bool>>(2) == Some(true)))
        .collect()
}

/// Sends a request and closes the connection after a while.
async fn abandon(address: String, path: &'static str, after: Duration) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    sleep(after).await;
}

#[tokio::test]
async fn abandoned_reads_end_on_the_server_too() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&event(0)).await;
    let (observer, mut holder) = (database.client().await, database.client().await);
    let lock = holder.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE progress_event, class_state IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("a lock");
    let paths = [
        "/api/class/events",
        "/api/class/export",
        "/api/classes",
        "/api/class/summary?class=other",
    ];
    let abandoned = futures::future::join_all((0..160).map(|n| {
        let (address, path) = (relay.url.authority(), paths[n % paths.len()]);
        async move {
            sleep(Duration::from_millis(20) * n as u32).await;
            abandon(address, path, Duration::from_millis(300)).await;
        }
    }));
    let mut abandoned = std::pin::pin!(abandoned);
    let mut most = 0;
    while timeout(Duration::from_millis(20), &mut abandoned).await.is_err() {
        let found = backends(&observer).await;
        for pool in ["pages", "loads"] {
            most = most.max(found.iter().filter(|(_, name, _)| name.ends_with(pool)).count());
        }
    }
    assert!(most <= POOL_SIZE, "a pool of {POOL_SIZE} connections had {most} backends");
    assert!(most > 0, "nothing was read");
    // The task that loads a class waits for it, even if no request does any more.
    until("the abandoned reads' ends", async || {
        let found = backends(&observer).await;
        found.iter().all(|(_, name, active)| !active || name.ends_with("loads")).then_some(())
    })
    .await;
    lock.rollback().await.expect("no lock");
    let answer = relay.connection().await.get("/api/class/events").await.expect("an answer");
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn an_answer_that_ends_early_keeps_its_connection() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let client = database.client().await;
    // 10 MiB, of which one answer takes 4.
    let insert = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
         SELECT gen_random_uuid(), 'default', 's', now(), json_build_object('code', repeat('x', 1 \
         << 20)) \
         FROM generate_series(1, 10)";
    client.batch_execute(insert).await.expect("large events");
    let mut connection = relay.connection().await;
    let mut pids = BTreeSet::new();
    for _ in 0..30 {
        let answer = connection.get("/api/class/events?limit=1000").await.expect("an answer");
        let answer: Value = answer.json().expect("JSON");
        assert!(answer["next"].is_number(), "the answer holds all events");
        pids.extend(
            backends(&client)
                .await
                .into_iter()
                .filter(|(_, name, _)| name.ends_with("pages"))
                .map(|b| b.0),
        );
    }
    // On a busy machine a statement may be cancelled too late, and then its connection is not used
    // again.
    assert!(pids.len() <= 2 * POOL_SIZE, "the pool opened new connections: {pids:?}");
}

#[tokio::test]
async fn a_server_without_room_for_a_connection_is_waited_for() {
    let database = Database::migrated().await;
    let admin = database.client().await;
    let role = format!("reader_{}", std::process::id());
    // As many connections as a relay needs for everything but reading.
    let make = format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT 6; GRANT ALL ON ALL TABLES IN SCHEMA public TO \
             {role}; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
    );
    admin.batch_execute(&make).await.expect("a role");
    let url = database.url().replace("user=postgres", &format!("user={role}"));
    let relay = Relay::serve(&["--database-url", &url, "--no-migrate"]).await;
    relay.post(&event(0)).await;
    until("all the other connections", async || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1";
        let row = admin.query_one(count, &[&role]).await.expect("an answer");
        (row.get::<_, i64>(0) == 6).then_some(())
    })
    .await;
    let (mut summary, mut events) = (relay.connection().await, relay.connection().await);
    let asking = async {
        tokio::join!(summary.get("/api/class/summary?class=other"), events.get("/api/class/events"))
    };
    let mut asking = std::pin::pin!(asking);
    let early = timeout(Duration::from_millis(1500), &mut asking).await;
    assert!(early.is_err(), "answered without a connection: {early:?}");
    admin.batch_execute(&format!("ALTER ROLE {role} CONNECTION LIMIT 20")).await.expect("room");
    let (summary, events) = asking.await;
    assert_eq!(summary.expect("an answer").status, 200);
    let events: Value = events.expect("an answer").json().expect("JSON");
    assert_eq!(events["events"].as_array().map(Vec::len), Some(1), "{}", json!(events));
}

/// Sends a request on a connection with the smallest receive buffer, and reads only the first bytes
/// of the answer.
async fn stall(relay: &Relay, path: &str) -> (TcpStream, String) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let address = relay.url.authority().parse().expect("an address");
    let mut stream = socket.connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("a status");
    (stream, String::from_utf8_lossy(&status[9..]).into_owned())
}

#[tokio::test]
async fn large_answers_share_a_budget_and_small_ones_are_free() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &["--answer-bytes", "4MiB"]).await;
    let insert = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
         SELECT gen_random_uuid(), 'default', 's' || n % 10, now(), \
           json_build_object('eventType', 'cell_executed', 'code', repeat('x', 100000)) FROM \
           generate_series(1, 100) AS n";
    database.client().await.batch_execute(insert).await.expect("large events");
    let large = "/api/class/events?limit=1000";
    let (first, status) = stall(&relay, large).await;
    assert_eq!(status, "200");
    // The requests use up the rest of the budget, and then one is refused.
    let mut stalled = vec![first];
    let refused = until("a refusal", async || {
        let answer = relay.connection().await.get(large).await.expect("an answer");
        (answer.status == 503).then_some(answer)
    });
    let refused = tokio::select! {
        refused = refused => refused,
        () = async {
            for _ in 0..40 {
                stalled.push(stall(&relay, large).await.0);
            }
            std::future::pending::<()>().await;
        } => unreachable!(),
    };
    assert_eq!(refused.header("retry-after"), Some("1"));
    let refused: Value = refused.json().expect("JSON");
    assert_eq!(refused["type"], "urn:progress-relay:problem:too-many-large-answers");
    for path in [
        "/api/class/summary?include=cells,grid,activity",
        "/api/class/events?notebook=x",
        "/api/classes",
    ] {
        let answer = relay.connection().await.get(path).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
    }
    relay.post(&event(0)).await;
    drop(stalled);
    until("room for a large answer again", async || {
        let answer = relay.connection().await.get(large).await.expect("an answer");
        let events = answer.json::<Value>().ok()?["events"].as_array()?.len();
        (answer.status == 200 && events > 30).then_some(())
    })
    .await;
}
