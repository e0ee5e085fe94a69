//! A WebSocket that reads only when it is told to, unlike a proper client.

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Relay, within};

/// A connection with the smallest receive buffer that the system allows, after its handshake. It
/// reads nothing unless it is told to.
pub struct Raw {
    stream: TcpStream,
}

/// A frame of the server, as far as the tests need it.
pub enum RawFrame {
    /// The marks of the events in a `progress` frame; empty for any other text.
    Events(Vec<i64>),
    /// The code of a close frame.
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

/// Makes a new connection a WebSocket of the default class.
pub async fn handshake(stream: &mut TcpStream, relay: &Relay) {
    handshake_with(stream, relay, "", "").await;
}

/// Makes a new connection a WebSocket with this query and these additional headers. Returns the
/// head of the answer in lower case. The standard headers are written as some browsers write them.
pub async fn handshake_with(
    stream: &mut TcpStream,
    relay: &Relay,
    query: &str,
    headers: &str,
) -> String {
    handshake_at(stream, &relay.url.authority(), query, headers).await
}

/// The same with a server that goes by another name, over any stream.
pub async fn handshake_at(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
    query: &str,
    headers: &str,
) -> String {
    let request = format!(
        "GET /ws/connect{query} HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: WebSocket\r\n{headers}Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("the answer's head", stream.read_u8()).await.expect("a byte"));
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    // The example of RFC 6455.
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    head
}

/// A frame of the server: its first byte and its payload, or `None` at the end of the connection.
pub async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
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

/// A text frame of a client, masked with zeros.
pub fn masked(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => panic!("too long"),
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(text);
    frame
}

impl Raw {
    /// Subscribes to new events of the default class.
    pub async fn connect(relay: &Relay) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let address = relay.url.authority().parse().expect("an address");
        let mut stream = socket.connect(address).await.expect("a connection");
        handshake(&mut stream, relay).await;
        Self { stream }
    }

    /// Reads the next frame.
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

    /// Reads until `count` events have arrived, and returns their marks.
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

    /// Reads until a close frame, and returns its code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let RawFrame::Close(code) = self.frame().await {
                return code;
            }
        }
    }
}
