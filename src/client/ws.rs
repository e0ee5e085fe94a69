//! A dashboard's WebSocket.

use std::pin::Pin;
use std::time::Duration;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderName, HeaderValue};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{BaseUrl, CONNECT_TIMEOUT, ClientError, Stream, query};
use crate::error::chain;

/// Text of a frame, counted by reference.
pub use tokio_tungstenite::tungstenite::Utf8Bytes;

/// A server that has sent nothing for so long is lost: it pings every 25 s.
const SILENCE: Duration = Duration::from_secs(60);

/// Largest message in bytes: a frame is 256 KiB unless one event is larger, and no event is larger
/// than a body.
const MAX_MESSAGE: usize = 64 << 20;

/// Allocated for every connection at once; the default of 128 KiB is too much for a thousand of
/// them.
const READ_BUFFER: usize = 16 << 10;

/// How long an answer to a close, or a close of our own, may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A message of the server.
#[derive(Debug)]
pub enum Frame {
    /// Events in order.
    Progress {
        /// The last event's.
        cursor: String,
        /// Each as the server wrote it.
        events: Vec<Box<RawValue>>,
    },
    /// All that was committed before the connection has been sent.
    Live {
        /// The cursor from which the stream continues.
        cursor: String,
    },
    /// The subscriber has every event up to this cursor.
    Mark {
        /// The cursor from which the stream continues.
        cursor: String,
    },
    /// The stream could not continue from the given cursor: events may be missing before this.
    Reset {
        /// Why.
        reason: String,
        /// The cursor from which the stream continues.
        cursor: String,
    },
    /// The answer to a ping.
    Pong {
        /// The cursor from which the stream continues.
        cursor: String,
    },
    /// A type that this client does not know, to be ignored.
    Unknown,
    /// The server closed the connection. Nothing follows.
    Closed {
        /// The close frame's code; `None` without one.
        code: Option<u16>,
        /// The close frame's reason, possibly empty.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Head {
    r#type: String,
}

#[derive(Deserialize)]
struct Whole {
    r#type: String,
    cursor: Option<String>,
    reason: Option<String>,
    events: Option<Vec<Box<RawValue>>>,
}

impl Frame {
    /// Reads a text frame.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] if it is not a JSON object with a type, or one of a known type
    /// without a member that its type requires.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let wrong = |why: &str| ClientError::Protocol(format!("a frame of the server: {why}"));
        let whole: Whole = match serde_json::from_str(text) {
            Ok(whole) => whole,
            Err(error) => {
                // A type of the future may use the same names for something else.
                let known = ["progress", "live", "mark", "reset", "pong"];
                return match serde_json::from_str::<Head>(text) {
                    Ok(head) if !known.contains(&&*head.r#type) => Ok(Self::Unknown),
                    _ => Err(wrong(&error.to_string())),
                };
            }
        };
        let cursor = whole.cursor.ok_or_else(|| wrong("no cursor"));
        Ok(match &*whole.r#type {
            "progress" => Self::Progress {
                cursor: cursor?,
                events: whole.events.ok_or_else(|| wrong("no events"))?,
            },
            "live" => Self::Live { cursor: cursor? },
            "mark" => Self::Mark { cursor: cursor? },
            "reset" => Self::Reset { reason: whole.reason.unwrap_or_default(), cursor: cursor? },
            "pong" => Self::Pong { cursor: cursor? },
            _ => Self::Unknown,
        })
    }
}

/// A subscription to some classes.
#[derive(Debug)]
pub struct Subscriber {
    stream: WebSocketStream<Stream>,
    /// When something last came from the server, pings included.
    last_received: Instant,
    /// Looks at `last_received` now and then: moving a timer for every frame costs more than the
    /// frame.
    check: Pin<Box<Sleep>>,
}

impl Subscriber {
    /// Subscribes to `classes` (the server's default if there are none), to what follows `cursor`,
    /// or to events from now on.
    ///
    /// # Errors
    /// [`ClientError::Connect`], [`ClientError::Timeout`], [`ClientError::Refused`] for another
    /// answer than 101, [`ClientError::Protocol`] for none in HTTP.
    pub async fn connect(
        base: &BaseUrl,
        classes: &[String],
        cursor: Option<&str>,
    ) -> Result<Self, ClientError> {
        Self::connect_with(base, classes, cursor, &[]).await
    }

    /// The same, with more headers in the request.
    ///
    /// # Errors
    /// As [`Subscriber::connect`].
    pub async fn connect_with(
        base: &BaseUrl,
        classes: &[String],
        cursor: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<Self, ClientError> {
        let pairs = classes.iter().map(|class| ("class", &**class));
        let query = query(pairs.chain(cursor.map(|cursor| ("cursor", cursor))));
        Self::connect_to(base, &query, headers).await
    }

    /// The same, with this query in the URL.
    ///
    /// # Errors
    /// As [`Subscriber::connect`].
    pub async fn connect_to(
        base: &BaseUrl,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, ClientError> {
        let separator = if query.is_empty() { "" } else { "?" };
        let path = base.target("/ws/connect");
        let url = format!("ws://{}{path}{separator}{query}", base.authority());
        let unsendable =
            |error: &dyn std::error::Error| ClientError::Protocol(format!("GET {path}: {error}"));
        let mut request = (&*url).into_client_request().map_err(|error| unsendable(&error))?;
        for (name, value) in headers {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|error| unsendable(&error))?;
            let value = HeaderValue::from_str(value).map_err(|error| unsendable(&error))?;
            request.headers_mut().append(name, value);
        }
        if let Some(value) = &base.authorization {
            request.headers_mut().entry(AUTHORIZATION).or_insert(value.clone());
        }

        let stream = base.dial().await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let handshake = client_async_with_config(request, stream, Some(config));
        let what = || format!("GET {path}");
        let (stream, _) = tokio::time::timeout(CONNECT_TIMEOUT, handshake)
            .await
            .map_err(|_| ClientError::Timeout {
                to: base.authority(),
                what: what(),
                after: CONNECT_TIMEOUT,
            })?
            .map_err(|error| refused(&format!("{base}/ws/connect"), error))?;
        let now = Instant::now();
        Ok(Self {
            stream,
            last_received: now,
            check: Box::pin(tokio::time::sleep_until(now + SILENCE)),
        })
    }

    /// The next frame. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`ClientError::Silent`] after 60 s without a sign of life, [`ClientError::Lost`],
    /// [`ClientError::Protocol`].
    pub async fn next(&mut self) -> Result<Frame, ClientError> {
        match self.next_text().await {
            Ok(text) => Frame::parse(&text),
            Err(ClientError::Closed { code, reason }) => Ok(Frame::Closed { code, reason }),
            Err(error) => Err(error),
        }
    }

    /// The next frame's text. Cancelling it loses nothing.
    ///
    /// # Errors
    /// As [`Subscriber::next`], and [`ClientError::Closed`].
    pub async fn next_text(&mut self) -> Result<Utf8Bytes, ClientError> {
        loop {
            let message = tokio::select! {
                biased;
                message = self.stream.next() => message,
                () = self.check.as_mut() => {
                    let due = self.last_received + SILENCE;
                    if due <= Instant::now() {
                        return Err(ClientError::Silent(SILENCE));
                    }
                    self.check.as_mut().reset(due);
                    continue;
                }
            };
            self.last_received = Instant::now();
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(close))) => {
                    // The answer was queued; the peer waits for it before it ends the connection.
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.stream.flush()).await;
                    let (code, reason) = close.map_or((None, String::new()), |c| {
                        (Some(c.code.into()), c.reason.to_string())
                    });
                    return Err(ClientError::Closed { code, reason });
                }
                // Pings are answered below this.
                Some(Ok(_)) => {}
                None | Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed)) => {
                    return Err(ClientError::Closed { code: None, reason: String::new() });
                }
                Some(Err(error)) => return Err(broken(error)),
            }
        }
    }

    /// Sends a message of any kind.
    ///
    /// # Errors
    /// [`ClientError::Lost`] if the connection is gone.
    pub async fn send(&mut self, message: Message) -> Result<(), ClientError> {
        self.stream.send(message).await.map_err(broken)
    }

    /// Asks for a [`Frame::Pong`].
    ///
    /// # Errors
    /// As [`Subscriber::send`].
    pub async fn ping(&mut self) -> Result<(), ClientError> {
        self.send(Message::text(r#"{"type":"ping"}"#)).await
    }

    /// Sends a close frame, and waits up to a second until it is sent.
    pub async fn close(mut self) {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.stream.close(None)).await;
    }
}

/// Why an established connection ended.
fn broken(error: WsError) -> ClientError {
    match error {
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            ClientError::Lost("it ended without a close".to_owned())
        }
        // These would come again at the same place of the log.
        WsError::Capacity(_) | WsError::Protocol(_) | WsError::Utf8(_) => {
            ClientError::Protocol(chain(&error))
        }
        other => ClientError::Lost(chain(&other)),
    }
}

/// Why the handshake failed.
fn refused(to: &str, error: WsError) -> ClientError {
    match error {
        WsError::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            ClientError::Refused {
                to: to.to_owned(),
                status: response.status().as_u16(),
                detail: problem(body).map(|text| format!(": {text}")).unwrap_or_default(),
            }
        }
        WsError::Protocol(ProtocolError::HandshakeIncomplete) => {
            ClientError::Lost("it ended within the handshake".to_owned())
        }
        WsError::Io(source) => ClientError::Lost(source.to_string()),
        other => ClientError::Protocol(format!("{to}: {}", chain(&other))),
    }
}

/// The text of a problem+json body.
fn problem(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = value.get("detail").or_else(|| value.get("title"))?;
    text.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart() {
        let text =
            r#"{"type":"progress","cursor":"e.2","events":[{"id":1,"x":"\ud800"},{"id":2}]}"#;
        let Ok(Frame::Progress { cursor, events }) = Frame::parse(text) else { panic!("{text}") };
        assert_eq!(
            (&*cursor, events.len(), events[0].get()),
            ("e.2", 2, r#"{"id":1,"x":"\ud800"}"#)
        );
        let text = r#"{"type":"reset","reason":"epoch","cursor":"e.0","more":1}"#;
        assert!(matches!(Frame::parse(text), Ok(Frame::Reset { reason, .. }) if reason == "epoch"));
        for text in [r#"{"type":"new"}"#, r#"{"type":"new","cursor":3,"events":"many"}"#] {
            assert!(matches!(Frame::parse(text), Ok(Frame::Unknown)), "{text}");
        }
        for text in ["", "[]", r#"{"type":"live"}"#, r#"{"type":"progress","cursor":"e.1"}"#] {
            assert!(matches!(Frame::parse(text), Err(ClientError::Protocol(_))), "{text}");
        }
    }
}
