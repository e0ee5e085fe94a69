//! The hostile peers that `hostile` and `churn` start.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// The number of ways to be hostile.
pub const WAYS: usize = 24;

/// The pause between two acts of one peer.
const PAUSE: Duration = Duration::from_millis(500);
const HANDSHAKE: &str = "GET /ws/connect HTTP/1.1\r\nHost: localhost\r\nConnection: \
     Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// All routes of the reading API, for a class with many events.
const LARGE_ANSWERS: [&str; 6] = [
    "/api/class/summary?class=huge&include=cells,grid,activity",
    "/api/class/events?class=huge&limit=1000",
    "/api/class/export?class=huge&format=ndjson",
    "/api/class/cells?class=huge",
    "/api/class/activity?class=huge&minutes=1440",
    "/api/classes?limit=10000",
];

/// Repeats one hostile act until it is aborted. After an error it starts again.
pub async fn misbehave(address: String, way: usize) {
    // The peers start at different moments.
    sleep(PAUSE.mul_f64(fastrand::f64())).await;
    loop {
        let _ = act(&address, way % WAYS).await;
        sleep(PAUSE).await;
    }
}

/// A masked frame. A mask of zeros leaves the payload as it is.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        longer => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(longer as u16).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

async fn act(address: &str, way: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    match way {
        // A header that never ends.
        0 => {
            stream
                .write_all(b"POST /student-progress HTTP/1.1\r\nHost: localhost\r\nX-A: ")
                .await?;
            loop {
                stream.write_all(b"x").await?;
                sleep(PAUSE).await;
            }
        }
        // A body that never ends.
        1 => {
            stream
                .write_all(
                    b"POST /student-progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: \
                         1000000\r\n\r\n[",
                )
                .await?;
            loop {
                stream.write_all(&[b' '; 1000]).await?;
                sleep(PAUSE).await;
            }
        }
        // Large bodies without meaning.
        2 => {
            let body = format!("[{}0]", "0,".repeat(500_000));
            let head = format!(
                "POST /student-progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
            let _ = stream.read(&mut [0; 1000]).await?;
            sleep(8 * PAUSE).await;
        }
        // A subscriber that never reads.
        3 | 4 => {
            stream.write_all(HANDSHAKE.as_bytes()).await?;
            sleep(Duration::from_secs(3600)).await;
        }
        // A subscriber that sends many pings and reads no pong.
        5 => {
            stream.write_all(HANDSHAKE.as_bytes()).await?;
            let pings: Vec<u8> = (0..100).flat_map(|_| frame(0x89, &[7; 125])).collect();
            loop {
                stream.write_all(&pings).await?;
            }
        }
        // A subscriber that sends much text.
        6 => {
            stream.write_all(HANDSHAKE.as_bytes()).await?;
            let text = frame(0x81, &[b'x'; 60_000]);
            for _ in 0..20 {
                stream.write_all(&text).await?;
                sleep(PAUSE).await;
            }
        }
        // Connections that are closed at once and after the handshake.
        7 => {
            stream.write_all(HANDSHAKE.as_bytes()).await?;
            let _ = stream.read(&mut [0; 10]).await?;
        }
        // Requests that the relay does not understand.
        8 => {
            let body = "{\"eventId\":\"x\",".repeat(200);
            let request = format!(
                "POST /student-progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: \
                     {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await?;
            let _ = stream.read(&mut [0; 1000]).await?;
        }
        // Requests whose answers are not read.
        9 => loop {
            stream
                .write_all("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100).as_bytes())
                .await?;
        },
        // An event stream that is not read.
        10 => {
            stream.write_all(b"GET /api/class/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
            sleep(Duration::from_secs(3600)).await;
        }
        // Control frames between fragments, and then a frame that is not allowed there.
        11 => {
            stream.write_all(HANDSHAKE.as_bytes()).await?;
            stream.write_all(&frame(0x01, b"a")).await?;
            for _ in 0..10 {
                stream.write_all(&frame(0x89, b"p")).await?;
                stream.write_all(&frame(0x00, b"b")).await?;
            }
            stream.write_all(&frame(0x09, b"fragmented")).await?;
            let _ = stream.read(&mut [0; 1000]).await?;
        }
        // Half-closed connections.
        12 => {
            stream.write_all(HANDSHAKE.as_bytes()).await?;
            stream.shutdown().await?;
            sleep(PAUSE).await;
        }
        // Large answers of every route that are not read.
        13..=18 => {
            let path = LARGE_ANSWERS[way - 13];
            stream
                .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
                .await?;
            sleep(Duration::from_secs(20)).await;
        }
        // Requests that are given up before the answer.
        19 => {
            let path = LARGE_ANSWERS[fastrand::usize(..LARGE_ANSWERS.len())];
            stream
                .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
                .await?;
            sleep(PAUSE.mul_f64(fastrand::f64())).await;
        }
        // Conditional requests, one after the other, whose answers are not read.
        20 => loop {
            let path = LARGE_ANSWERS[fastrand::usize(..LARGE_ANSWERS.len())];
            let tag = ["*", "\"x\"", "W/\"0000000000000000\""][fastrand::usize(..3)];
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: \
                     gzip\r\nIf-None-Match: {tag}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await?;
            sleep(PAUSE / 10).await;
        },
        // Unknown classes, each of which the relay looks for in the table.
        21 => loop {
            let class = fastrand::u64(..);
            let request =
                format!("GET /api/class/summary?class={class} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let _ = stream.read(&mut [0; 10_000]).await?;
        },
        // Actions on students that do not exist, and requests that no route understands.
        22 => loop {
            let requests = [
                "POST /api/class/students/nobody/help/resolve?class=huge",
                "GET /api/class/events?class=huge&before=0",
                "GET /api/class/summary?include=everything",
                "GET /openapi.json",
                "OPTIONS /api/class/export",
            ];
            for request in requests {
                stream
                    .write_all(format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
                    .await?;
                let _ = stream.read(&mut [0; 1000]).await?;
            }
        },
        // Bytes that are no HTTP.
        _ => {
            stream.write_all(&[0xff; 4000]).await?;
            let _ = stream.read(&mut [0; 1000]).await?;
        }
    }
    Ok(())
}
