//! SIGTERM: requests are finished, subscribers are sent elsewhere, and the process ends in time.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use progress_relay::client::ws::Frame;
use tokio::io::AsyncWriteExt;

use crate::support::{
    Database, Follower, Raw, Relay, data_folder, event, origin, readiness, text, until, within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_in_flight_are_answered_and_sockets_closed_with_1001() {
    let database = Database::new().await;
    let mut relay = Relay::start(&database, &["--drain", "4s"]).await;
    let mut subscribers = Vec::new();
    for _ in 0..5 {
        subscribers.push(relay.subscribe(&["default"], None).await);
    }
    // A POST that waits for the database when the signal arrives.
    let client = database.client().await;
    client.batch_execute("BEGIN; SELECT progress_event_lock()").await.expect("the lock");
    let mut connection = relay.connection().await;
    let body = event(1).to_string();
    let post = tokio::spawn(async move { connection.post_json("/student-progress", body).await });
    until("the writer to wait for the lock", || async {
        let sql = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let rows = client.query(sql, &[]).await.expect("an answer");
        (!rows.is_empty()).then_some(())
    })
    .await;
    relay.signal(Signal::SIGTERM);
    until("the port to be closed", || async {
        tokio::net::TcpStream::connect(relay.url.authority()).await.is_err().then_some(())
    })
    .await;
    client.batch_execute("COMMIT").await.expect("the lock back");
    let response = within("the POST", post).await.expect("no panic").expect("an answer");
    assert_eq!(response.status, 200);
    for mut subscriber in subscribers {
        loop {
            match within("the goodbye", subscriber.next()).await.expect("a frame") {
                Frame::Closed { code, .. } => break assert_eq!(code, Some(1001)),
                _ => continue,
            }
        }
    }
    assert_eq!(relay.ended(Duration::from_secs(15)).await.code(), Some(0), "{}", relay.log());
}

#[tokio::test]
async fn readiness_is_withdrawn_before_the_port_is() {
    let database = Database::new().await;
    let mut relay = Relay::start(&database, &["--drain-delay", "4s", "--drain", "1s"]).await;
    let begin = Instant::now();
    relay.signal(Signal::SIGTERM);
    until("readiness to be withdrawn", || async {
        (readiness(&relay).await.0 == 503).then_some(())
    })
    .await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1, "the relay still accepts events");
    let alive = relay.connection().await.get("/healthz").await.expect("an answer");
    assert_eq!(alive.status, 200);
    assert_eq!(alive.header("connection"), Some("close"), "clients are told to go elsewhere");
    assert_eq!(relay.ended(Duration::from_secs(15)).await.code(), Some(0));
    assert!(begin.elapsed() >= Duration::from_secs(4));
}

/// Half a request, and a subscriber whose connection takes no more bytes.
#[tokio::test]
async fn peers_that_neither_send_nor_take_do_not_hold_it_up() {
    const BATCH: usize = 100;
    let database = Database::new().await;
    let mut relay = Relay::start(&database, &["--drain", "1s"]).await;
    let mut half =
        tokio::net::TcpStream::connect(relay.url.authority()).await.expect("a connection");
    half.write_all(
        b"POST /student-progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
    )
    .await
    .expect("sent");
    let _full = Raw::connect(&relay).await;
    for n in 0..20 {
        let padded = |n| {
            let mut event = event(n);
            event["result"] = "x".repeat(8_000).into();
            event
        };
        relay.post(&(BATCH * n..BATCH * (n + 1)).map(padded).collect()).await;
    }
    let begin = Instant::now();
    relay.signal(Signal::SIGTERM);
    assert_eq!(relay.ended(Duration::from_secs(15)).await.code(), Some(0), "{}", relay.log());
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_private_database_is_stopped_and_its_data_is_there_again() {
    let folder = data_folder();
    let flags = ["--data-dir", folder.to_str().expect("UTF-8"), "--drain", "1s"];
    let mut relay = Relay::serve(&flags).await;
    let answer = relay.post(&event(1)).await;
    let file = folder.join("postgresql/postmaster.pid");
    let pid_file = std::fs::read_to_string(&file).expect("a pid file");
    let postmaster = pid_file
        .lines()
        .next()
        .and_then(|line| line.parse().ok())
        .map(Pid::from_raw)
        .expect("a pid");
    relay.signal(Signal::SIGINT);
    assert_eq!(relay.ended(Duration::from_secs(30)).await.code(), Some(0), "{}", relay.log());
    assert!(!file.exists(), "the server was not shut down");
    assert_eq!(kill(postmaster, None), Err(Errno::ESRCH), "the server still runs");
    let relay = Relay::serve(&flags).await;
    relay.post(&event(2)).await;
    let before = origin(text(&answer, "cursor"));
    let mut follower = Follower::new(&relay.url, &["default"], Some(&before)).await;
    follower.until_live().await;
    assert_eq!(follower.marks(), [1, 2]);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let database = Database::new().await;
    let mut relay = Relay::start(&database, &["--drain-delay", "60s"]).await;
    relay.signal(Signal::SIGTERM);
    until("readiness to be withdrawn", || async {
        (readiness(&relay).await.0 == 503).then_some(())
    })
    .await;
    let begin = Instant::now();
    relay.signal(Signal::SIGTERM);
    let status = relay.ended(Duration::from_secs(15)).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(status.code(), Some(1), "the drain was cut short");
}
