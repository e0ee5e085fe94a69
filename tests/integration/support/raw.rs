//! A WebSocket by hand, for what a proper client does not do: take nothing.

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Relay, within};

/// A connection with as small a receive buffer as the system gives, after its handshake. Nothing is
/// read unless asked for.
pub struct Raw {
    stream: TcpStream,
}

/// What a frame of the server's is, as far as it matters here.
pub enum RawFrame {
    /// The marks of a `progress` frame's events; empty for any other text.
    Events(Vec<i64>),
    /// A close frame's code.
    Close(u16),
    /// A ping.
    Ping,
    /// Another control frame.
    Other,
}

#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    events: Vec<Mark>,
}

#[derive(Deserialize)]
struct Mark {
    n: i64,
}

/// Makes a fresh connection a WebSocket to the default class, written as browsers do and some do
/// not.
pub async fn handshake(stream: &mut TcpStream, relay: &Relay) {
    let request = format!(
        "GET /ws/connect HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: \
             WebSocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        relay.url.authority()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("the answer's head", stream.read_u8()).await.expect("a byte"));
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    // RFC 6455's own example.
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
}

/// A server's frame: its first byte and its payload; `None` at the connection's end.
pub async fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let length = match stream.read_u8().await.ok()? {
        126 => u64::from(stream.read_u16().await.ok()?),
        127 => stream.read_u64().await.ok()?,
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length).ok()?];
    stream.read_exact(&mut payload).await.ok()?;
    Some((first, payload))
}

impl Raw {
    /// Subscribes to the default class from now on.
    pub async fn connect(relay: &Relay) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let address = relay.url.authority().parse().expect("an address");
        let mut stream = socket.connect(address).await.expect("a connection");
        handshake(&mut stream, relay).await;
        Self { stream }
    }

    /// The next frame, whole.
    pub async fn frame(&mut self) -> RawFrame {
        within("a frame", async {
            let (first, payload) = read_frame(&mut self.stream).await.expect("a frame");
            match first {
                0x81 => {
                    let text: Text = serde_json::from_slice(&payload).expect("a frame's JSON");
                    RawFrame::Events(text.events.into_iter().map(|event| event.n).collect())
                }
                0x88 => RawFrame::Close(
                    payload[..2].try_into().map(u16::from_be_bytes).expect("a code"),
                ),
                0x89 => RawFrame::Ping,
                _ => RawFrame::Other,
            }
        })
        .await
    }

    /// Reads until `count` events have come; their marks.
    pub async fn events(&mut self, count: usize) -> Vec<i64> {
        let mut marks = Vec::new();
        while marks.len() < count {
            match self.frame().await {
                RawFrame::Events(more) => marks.extend(more),
                RawFrame::Close(code) => panic!("closed with {code} after {} events", marks.len()),
                RawFrame::Ping | RawFrame::Other => {}
            }
        }
        marks
    }

    /// Reads until it is closed; the code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let RawFrame::Close(code) = self.frame().await {
                return code;
            }
        }
    }
}
