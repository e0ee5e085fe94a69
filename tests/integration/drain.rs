//! SIGTERM: what is under way is finished, who is connected is sent elsewhere, and it ends in time.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use progress_relay::http::client::ws::Frame;

use crate::support::{Database, Relay, data_folder, event, until, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_in_flight_are_answered_and_sockets_closed_with_1001() {
    let database = Database::new().await;
    let mut relay = Relay::start(&database, &["--drain", "4s"]).await;
    let mut subscribers = Vec::new();
    for _ in 0..5 {
        subscribers.push(relay.subscribe(&["default"], None).await);
    }
    // A POST that waits for the database while the signal comes.
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
    let mut relay = Relay::start(&database, &["--drain-delay", "2s", "--drain", "1s"]).await;
    let begin = Instant::now();
    relay.signal(Signal::SIGTERM);
    until("readiness to be withdrawn", || async {
        let response = relay.connection().await.get("/readyz").await.expect("an answer");
        (response.status == 503).then_some(())
    })
    .await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1, "it still takes events");
    let alive = relay.connection().await.get("/healthz").await.expect("an answer");
    assert_eq!(alive.status, 200);
    assert_eq!(alive.header("connection"), Some("close"), "clients are told to go elsewhere");
    assert_eq!(relay.ended(Duration::from_secs(15)).await.code(), Some(0));
    assert!(begin.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_subscriber_that_takes_nothing_does_not_hold_it_up() {
    use tokio::io::AsyncWriteExt;

    let database = Database::new().await;
    let mut relay = Relay::start(&database, &["--drain", "1s"]).await;
    let mut half = tokio::net::TcpStream::connect(relay.url.authority()).await.expect("a connection");
    half.write_all(b"POST /student-progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        .await
        .expect("sent");
    let _subscriber = relay.subscribe(&["default"], None).await;
    let begin = Instant::now();
    relay.signal(Signal::SIGTERM);
    assert_eq!(relay.ended(Duration::from_secs(15)).await.code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_private_database_is_stopped_and_its_data_is_there_again() {
    let folder = data_folder();
    let flags = ["--data-dir", folder.to_str().expect("UTF-8"), "--drain", "1s"];
    let mut relay = Relay::serve(&flags).await;
    let cursor = relay.post(&event(1)).await["cursor"].as_str().expect("a cursor").to_owned();
    let file = folder.join("postgresql/postmaster.pid");
    assert!(file.exists());
    relay.signal(Signal::SIGINT);
    assert_eq!(relay.ended(Duration::from_secs(30)).await.code(), Some(0), "{}", relay.log());
    assert!(!file.exists(), "the server was not shut down");
    let relay = Relay::serve(&flags).await;
    assert_eq!(relay.post(&event(2)).await["accepted"], 1);
    let (epoch, id) = cursor.split_once('.').expect("a cursor");
    let before = format!("{epoch}.{}", id.parse::<i64>().expect("an id") - 1);
    let lines = relay.tail_json("default", &before, 2).await;
    assert_eq!((&lines[0]["n"], &lines[1]["n"]), (&1.into(), &2.into()));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let database = Database::new().await;
    let mut relay = Relay::start(&database, &["--drain-delay", "60s"]).await;
    relay.signal(Signal::SIGTERM);
    until("readiness to be withdrawn", || async {
        let response = relay.connection().await.get("/readyz").await.expect("an answer");
        (response.status == 503).then_some(())
    })
    .await;
    let begin = Instant::now();
    relay.signal(Signal::SIGTERM);
    relay.ended(Duration::from_secs(15)).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}
