//! Subscribers that take nothing: they cost little, delay nobody, and then get everything.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Database, Follower, PATIENCE, Relay, event};

/// How much the relay may grow for one subscriber that takes nothing, beyond the log in memory: what one session holds at the
/// most, twice, and some room for the allocator.
const GROWTH: usize = 24 * 1024 * 1024;

/// A subscriber that did its handshake and then reads nothing, with as small a buffer as the system gives.
async fn stalled(relay: &Relay) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let address = relay.url.authority().parse().expect("an address");
    let mut stream = socket.connect(address).await.expect("a connection");
    let request = format!(
        "GET /ws/connect HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("the answer's head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// Reads a server's frames off a socket until `count` events have come; returns their marks.
async fn read_events(stream: &mut TcpStream, count: usize) -> Vec<i64> {
    let mut marks = Vec::new();
    while marks.len() < count {
        let first = stream.read_u8().await.expect("a frame");
        let length = match stream.read_u8().await.expect("a length") {
            126 => u64::from(stream.read_u16().await.expect("a length")),
            127 => stream.read_u64().await.expect("a length"),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        stream.read_exact(&mut payload).await.expect("a payload");
        if first & 0x0f != 1 {
            continue;
        }
        let frame: Value = serde_json::from_slice(&payload).expect("JSON");
        for event in frame["events"].as_array().into_iter().flatten() {
            marks.push(event["n"].as_i64().expect("a mark"));
        }
    }
    marks
}

/// Loads the relay for `stall` while one subscriber takes nothing and another follows.
async fn stall(flags: &[&str], stall: Duration) {
    const BATCH: usize = 20;
    let database = Database::new().await;
    let relay = Relay::start(&database, flags).await;
    let mut stalled = stalled(&relay).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    follower.until_live().await;
    let before = relay.resident();
    let begin = Instant::now();
    let (mut sent, mut slowest) = (0, Duration::ZERO);
    let padding = "x".repeat(4_000);
    let mut connection = relay.connection().await;
    while begin.elapsed() < stall || sent < 2_000 {
        let events: Vec<Value> = (sent..sent + BATCH)
            .map(|n| {
                let mut event = event(n);
                event["result"] = padding.as_str().into();
                event
            })
            .collect();
        let posted = Instant::now();
        let body = serde_json::to_vec(&events).expect("JSON");
        let response = connection.post_json("/student-progress", body).await.expect("an answer");
        assert_eq!(response.status, 200);
        sent += BATCH;
        follower.take(sent).await;
        slowest = slowest.max(posted.elapsed());
        // Some 4 MB/s: it has fallen behind any buffer of the system's soon enough.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let grown = relay.resident().saturating_sub(before);
    let log_memory = if flags.is_empty() { 64 << 20 } else { 256 << 10 };
    assert!(grown < log_memory + GROWTH, "{grown} bytes more for {sent} events");
    assert!(slowest < Duration::from_secs(5), "a POST to its frame took {slowest:?} beside one who stalls");
    let marks =
        tokio::time::timeout(PATIENCE, read_events(&mut stalled, sent)).await.expect("all that it missed");
    assert_eq!(marks, (0..sent as i64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stalls_gets_everything_from_memory() {
    stall(&[], Duration::from_secs(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_falls_behind_the_memory_gets_everything_from_the_table() {
    stall(&["--log-memory", "256KiB"], Duration::from_secs(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 40 s: cargo test -- --ignored"]
async fn one_that_stalls_for_40_seconds() {
    stall(&["--log-memory", "256KiB"], Duration::from_secs(40)).await;
}
