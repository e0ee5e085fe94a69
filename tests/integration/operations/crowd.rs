//! More connections than the limit: the refusals end when the connections go.

use std::time::Duration;

use bytes::Bytes;
use progress_relay::client::http::Connection;
use progress_relay::client::ws::{Frame, Subscriber};

use crate::support::{Database, Relay, event, until, within};

const CAP: usize = 8;

/// As many subscribers as the limit allows.
async fn crowd(relay: &Relay) -> Vec<Subscriber> {
    let mut crowd = Vec::new();
    within("a crowd", async {
        while crowd.len() < CAP {
            let mut subscriber = relay.subscribe(&["default"], None).await;
            // The relay may not have noticed yet that earlier connections have ended.
            if let Ok(Frame::Live { .. }) = subscriber.next().await {
                crowd.push(subscriber);
            }
        }
    })
    .await;
    crowd
}

async fn post(connection: &mut Connection) -> u16 {
    let body = event(1).to_string();
    let response = connection.post_json("/student-progress", body).await.expect("an answer");
    if response.status != 200 {
        assert_eq!(response.status, 503);
        assert!(response.header("retry-after").is_some());
    }
    response.status.as_u16()
}

/// Posts on one connection until a POST is accepted.
async fn until_served(what: &str, connection: &mut Connection) {
    within(what, async {
        while post(connection).await != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A proxy keeps connections that it opened in a spike, and uses them as long as there is traffic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_is_served_once_the_spike_is_over() {
    let database = Database::new().await;
    let cap = CAP.to_string();
    let relay = Relay::start(&database, &["--max-connections", &cap]).await;
    let crowd = crowd(&relay).await;
    let (mut used, mut unused) = (relay.connection().await, relay.connection().await);
    let mut reader = relay.connection().await;
    assert_eq!(post(&mut used).await, 503);
    assert_eq!(reader.get("/api/classes").await.expect("an answer").status, 503);
    let refused = reader.get("/api/class/stream").await.expect("an answer");
    assert_eq!((refused.status.as_u16(), &*refused.body), (200, &b"retry: 5000\n\n"[..]));
    // Requests of operators and for the page itself are always answered.
    assert_eq!(reader.get("/healthz").await.expect("an answer").status, 200);
    drop(crowd);
    until_served("the used connection to be served", &mut used).await;
    until_served("the unused connection to be served", &mut unused).await;
    within("the reader to be served", async {
        while reader.get("/api/classes").await.expect("an answer").status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for _ in 0..20 {
        assert_eq!(post(&mut used).await, 200);
        assert_eq!(post(&mut unused).await, 200, "the connection was opened in the spike");
        assert_eq!(reader.get("/api/classes").await.expect("an answer").status, 200);
    }
    // The connections count now, and the rest of the limit is free.
    let mut held = Vec::new();
    for _ in 0..CAP - 3 {
        held.push(relay.connection().await);
        until_served("a permit", held.last_mut().expect("one")).await;
    }
    let mut beyond = relay.connection().await;
    assert_eq!(post(&mut beyond).await, 503);
    // The permit of a closed connection goes to the next request, on a connection that was refused
    // before.
    drop(held.pop());
    until_served("a permit to be free", &mut beyond).await;
}

/// A refused connection becomes a WebSocket or a stream once there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_connection_may_subscribe_once_the_spike_is_over() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    let database = Database::new().await;
    let cap = CAP.to_string();
    let relay = Relay::start(&database, &["--max-connections", &cap]).await;
    let crowd = crowd(&relay).await;
    let websocket = "GET /ws/connect HTTP/1.1\r\nHost: localhost\r\nConnection: \
         Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let stream = "GET /api/class/stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut open = Vec::new();
    for request in [websocket, stream] {
        let mut connection = TcpStream::connect(relay.url.authority()).await.expect("a connection");
        connection
            .write_all(b"GET /api/classes HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .expect("sent");
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains("too-many-connections") {
            let read =
                within("the refusal", connection.read_buf(&mut answer)).await.expect("bytes");
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        }
        open.push((connection, request));
    }
    drop(crowd);
    until("permits to be free", async || {
        let mut connection = relay.connection().await;
        (post(&mut connection).await == 200).then_some(())
    })
    .await;
    for (mut connection, request) in open {
        connection.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains("\"type\":\"live\"") {
            let read = within("live", connection.read_buf(&mut answer)).await.expect("bytes");
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        }
    }
}

/// A refusal leaves the connection intact: the relay reads the next request from its first byte.
#[tokio::test]
async fn a_refused_body_is_passed_over() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--max-connections-per-address", "1"]).await;
    let mut first = relay.connection().await;
    until_served("the one permit", &mut first).await;
    let mut second = relay.connection().await;
    let large = Bytes::from(format!("[{}]", " ".repeat(1 << 20)));
    for _ in 0..3 {
        let response =
            second.post_json("/student-progress", large.clone()).await.expect("an answer");
        assert_eq!(response.status, 503);
    }
    drop(first);
    until_served("the permit to be free", &mut second).await;
}
