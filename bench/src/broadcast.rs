//! A bare WebSocket broadcast that speaks enough of the relay's protocol for `simulate`.
//!
//! It gives ids to the events that are POSTed and sends them to every dashboard. It checks, stores
//! and resumes nothing, so its figures are the cost of the sockets alone.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, broadcast};
use tokio_tungstenite::tungstenite::Message;

use crate::Outcome;

/// How many frames a dashboard may be behind.
const BEHIND: usize = 1 << 16;

struct Hub {
    frames: broadcast::Sender<Message>,
    last: AtomicI64,
    /// Held while ids are assigned and sent, so that both have one order.
    order: Mutex<()>,
}

pub async fn serve() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let hub = Hub {
        frames: broadcast::channel(BEHIND).0,
        last: AtomicI64::new(0),
        order: Mutex::default(),
    };
    let hub = Arc::new(hub);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that breaks ends its own task only.
        tokio::spawn(connection(stream, Arc::clone(&hub)));
    }
}

async fn connection(stream: TcpStream, hub: Arc<Hub>) -> Outcome<()> {
    let mut first = [0; 8];
    while stream.peek(&mut first).await? < first.len() {}
    if first.starts_with(b"GET /ws") {
        subscriber(stream, &hub).await
    } else {
        poster(stream, &hub).await
    }
}

/// Sends all frames that wait in one write.
async fn subscriber(stream: TcpStream, hub: &Hub) -> Outcome<()> {
    let (mut sink, mut incoming) = tokio_tungstenite::accept_async(stream).await?.split();
    let mut frames = hub.frames.subscribe();
    sink.send(Message::text(r#"{"type":"live","cursor":"bare.0"}"#)).await?;
    loop {
        tokio::select! {
            frame = frames.recv() => sink.feed(frame?).await?,
            peer = incoming.next() => match peer {
                Some(Ok(_)) => continue,
                _ => return Ok(()),
            },
        }
        while let Ok(frame) = frames.try_recv() {
            sink.feed(frame).await?;
        }
        sink.flush().await?;
    }
}

async fn poster(mut stream: TcpStream, hub: &Hub) -> Outcome<()> {
    let mut buffer = Vec::new();
    loop {
        let (header, body) = loop {
            if let Some(whole) = request(&buffer) {
                break whole;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let accepted = publish(hub, &buffer[header..header + body]).await?;
        buffer.drain(..header + body);
        let answer = format!(r#"{{"accepted":{accepted},"duplicates":0,"rejected":[]}}"#);
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all((head + &answer).as_bytes()).await?;
    }
}

/// The lengths of the header and the body, once both have arrived.
fn request(buffer: &[u8]) -> Option<(usize, usize)> {
    let header = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..header]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            value.trim().parse::<usize>().ok()
        } else {
            None
        }
    });
    let body = length.unwrap_or(0);
    (buffer.len() >= header + body).then_some((header, body))
}

async fn publish(hub: &Hub, body: &[u8]) -> Outcome<usize> {
    let events: Vec<&RawValue> = serde_json::from_slice(body)?;
    let mut out = String::with_capacity(body.len() + events.len() * 24 + 64);
    let _order = hub.order.lock().await;
    let mut id = hub.last.load(Ordering::Relaxed);
    for (index, event) in events.iter().enumerate() {
        id += 1;
        out.push_str(if index == 0 { "{\"id\":" } else { ",{\"id\":" });
        out.push_str(&id.to_string());
        out.push(',');
        out.push_str(&event.get()[1..]);
    }
    hub.last.store(id, Ordering::Relaxed);
    let frame = format!(r#"{{"type":"progress","cursor":"bare.{id}","events":[{out}]}}"#);
    // An error says that no dashboard is connected, which is no failure.
    let _ = hub.frames.send(Message::text(frame));
    Ok(events.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_or_not() {
        let text = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]POST";
        assert_eq!(request(text), Some((38, 2)));
        assert_eq!(request(&text[..39]), None);
        assert_eq!(request(b"GET / HTTP/1.1\r\n"), None);
    }
}
