//! A WebSocket's server side, as a session's transport.
//!
//! tungstenite reads: it takes frames apart, unmasks and checks them, and answers control frames.
//! Its output goes into a small buffer here instead of the socket, so that frames of events,
//! which are shared by all subscribers, go from the log to the kernel without being copied:
//! tungstenite would copy each into a buffer of every connection, and keep that at its largest size
//! for as long as the connection lives.

use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Message, Role, WebSocketConfig, WebSocketContext,
};

use super::session::Transport;
use super::session::messages::{Close, FrameKind, Incoming, Outgoing};
use super::session::outbox::{Dropped, Outbox};
use crate::http::problem::trace_refusal;
use crate::http::server::timeouts::LastActivity;

/// Allocated for as long as the connection lives; clients send next to nothing.
const READ_BUFFER: usize = 1024;
/// Largest message of a client's.
const MAX_MESSAGE: usize = 64 * 1024;
/// Control frames (pongs) that may wait to be taken: beyond it nothing more is read from the peer.
const MAX_CONTROL: usize = 4 * 1024;
/// Frames handed to the kernel at once; IOV_MAX is 1,024 and a frame takes two.
const MAX_SLICES: usize = 64;
/// Longest reason of a close, in bytes.
const MAX_REASON: usize = 123;
/// How long the closing handshake may take, the peer's answer included.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A frame on its way: its header, unless it is a control frame's whole bytes, and its text.
struct Pending {
    head: [u8; 10],
    head_len: u8,
    events: bool,
    text: Bytes,
}

impl Pending {
    /// A text frame, whole and unmasked as a server's are (RFC 6455, section 5.2).
    fn text(text: Bytes, events: bool) -> Self {
        const FIN_TEXT: u8 = 0x81;
        let mut head = [0; 10];
        head[0] = FIN_TEXT;
        let head_len = match text.len() {
            short @ 0..=125 => {
                head[1] = short as u8;
                2
            }
            medium @ 126..=0xffff => {
                head[1] = 126;
                head[2..4].copy_from_slice(&(medium as u16).to_be_bytes());
                4
            }
            long => {
                head[1] = 127;
                head[2..].copy_from_slice(&(long as u64).to_be_bytes());
                10
            }
        };
        Self { head, head_len, events, text }
    }

    /// Bytes that are frames already.
    fn raw(text: Bytes) -> Self {
        Self { head: [0; 10], head_len: 0, events: false, text }
    }

    fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    fn len(&self) -> usize {
        usize::from(self.head_len) + self.text.len()
    }
}

/// A WebSocket over `io`.
pub(super) struct Socket<I> {
    io: I,
    context: WebSocketContext,
    /// Whole control frames, as tungstenite wrote them.
    control: Vec<u8>,
    outbox: Outbox<Pending>,
    /// Bytes of the outbox's first that are written.
    written: usize,
    /// Whether the kernel had no room at the last write: progress after that is the peer's doing.
    blocked: bool,
    activity: LastActivity,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Socket<I> {
    /// A WebSocket whose handshake is done; `read` are bytes of the peer's that came right behind
    /// it.
    pub(super) fn new(io: I, read: Bytes, activity: LastActivity) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * MAX_CONTROL)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let context =
            WebSocketContext::from_partially_read(read.to_vec(), Role::Server, Some(config));
        Self {
            io,
            context,
            control: Vec::new(),
            outbox: Outbox::new(),
            written: 0,
            blocked: false,
            activity,
        }
    }

    /// Sends a close frame, or answers the peer's, and ends the connection; all in a bounded time.
    pub(super) async fn close(self, close: Close) {
        let reason = close.code().map_or("", |(_, reason)| reason);
        self.close_with_reason(close, reason).await;
    }

    /// The same, with another reason than the one that `close` has for all.
    pub(super) async fn close_with_reason(mut self, close: Close, reason: &str) {
        if !reason.is_empty() {
            trace_refusal(&reason);
        }
        // A frame that is half written is finished. The peer gets the others when it comes back
        // with its cursor.
        self.outbox.truncate(usize::from(self.written > 0));
        let written = match close.code() {
            Some((code, _)) => {
                // A control frame holds 125 bytes, two of them the code.
                let reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
                let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
                self.with_context(None, |context, io| context.close(io, Some(frame)))
            }
            None if close == Close::ByPeer => {
                self.with_context(None, |context, io| context.flush(io))
            }
            None => return,
        };
        // Answering a close ends tungstenite's side, which it returns as an error.
        if !matches!(written, Ok(()) | Err(WsError::ConnectionClosed)) {
            return;
        }
        let closing = async {
            poll_fn(|cx| self.poll_write(cx)).await?;
            poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await?;
            // Closing while the peer still sends would reset the connection, and with it the
            // reason.
            let mut discarded = [0; 1024];
            while self.io.read(&mut discarded).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    }

    fn with_context<T>(
        &mut self,
        cx: Option<&mut Context<'_>>,
        act: impl FnOnce(&mut WebSocketContext, &mut Adapter<'_, '_, I>) -> T,
    ) -> T {
        let mut adapter =
            Adapter { io: &mut self.io, control: &mut self.control, activity: &self.activity, cx };
        act(&mut self.context, &mut adapter)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, WsError>> {
        match self.with_context(Some(cx), |context, io| context.read(io)) {
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            other => Poll::Ready(other),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.control.is_empty() && self.queued_control() == 0 {
                let control = Pending::raw(std::mem::take(&mut self.control).into());
                // Between two frames, not within one.
                self.outbox.insert(usize::from(self.written > 0), control);
            }
            if self.outbox.is_empty() {
                // TLS keeps bytes for which the kernel had no room.
                let flushed = Pin::new(&mut self.io).poll_flush(cx);
                self.blocked |= flushed.is_pending();
                return flushed;
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let filled = fill(&mut slices, &self.outbox, self.written);
            let Poll::Ready(result) =
                Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..filled])
            else {
                self.blocked = true;
                return Poll::Pending;
            };
            let mut taken = result?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            // Which bytes are a sign of life: see `server::timeouts`.
            let mut alive = std::mem::take(&mut self.blocked);
            while let Some(first) = self.outbox.front() {
                let left = first.len() - self.written;
                if taken < left {
                    self.written += taken;
                    break;
                }
                taken -= left;
                self.written = 0;
                alive |= self.outbox.pop_front().is_some_and(|taken| taken.events);
            }
            if alive {
                self.activity.note();
            }
        }
    }
}

/// The outbox's bytes after the first `written`, as the kernel takes them; returns how many slices
/// there are.
fn fill<'a>(
    slices: &mut [IoSlice<'a>; MAX_SLICES],
    outbox: &'a Outbox<Pending>,
    written: usize,
) -> usize {
    let (mut skip, mut filled) = (written, 0);
    for pending in outbox.iter().take(MAX_SLICES / 2) {
        for part in [pending.head(), &pending.text] {
            let skipped = skip.min(part.len());
            skip -= skipped;
            if skipped < part.len() {
                slices[filled] = IoSlice::new(&part[skipped..]);
                filled += 1;
            }
        }
    }
    filled
}

impl<I: AsyncRead + AsyncWrite + Unpin> Stream for Socket<I> {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        loop {
            if self.control.len() + self.queued_control() > MAX_CONTROL {
                // Nothing more is read from the peer until it takes its pongs. The write wakes this
                // task once it does.
                match ready!(self.poll_write(cx)) {
                    Ok(()) => continue,
                    Err(_) => return Poll::Ready(Some(Incoming::Close(Close::Gone))),
                }
            }
            return Poll::Ready(Some(match ready!(self.poll_message(cx)) {
                Ok(Message::Text(text)) => match Incoming::of_text(&text) {
                    Some(message) => message,
                    None => continue,
                },
                Ok(Message::Binary(_)) => Incoming::Close(Close::Binary),
                // Answered by tungstenite, in `control`.
                Ok(Message::Close(_)) => Incoming::Close(Close::ByPeer),
                Ok(_) => continue,
                Err(WsError::Capacity(CapacityError::MessageTooLong { .. })) => {
                    Incoming::Close(Close::TooLarge)
                }
                Err(WsError::Utf8(_)) => Incoming::Close(Close::NotUtf8),
                Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                    Incoming::Close(Close::Gone)
                }
                Err(WsError::Protocol(error)) => {
                    tracing::debug!("a subscriber's WebSocket: {error}");
                    Incoming::Close(Close::Protocol)
                }
                Err(_) => Incoming::Close(Close::Gone),
            }));
        }
    }
}

impl<I> Socket<I> {
    fn queued_control(&self) -> usize {
        self.outbox.iter().take(2).filter(|pending| pending.head_len == 0).map(Pending::len).sum()
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Sink<Outgoing> for Socket<I> {
    type Error = Close;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Close>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Outgoing) -> Result<(), Close> {
        match frame {
            Outgoing::Text { text, cursor, kind } => {
                self.outbox.push(Pending::text(text, kind == FrameKind::Events), kind, cursor);
            }
            Outgoing::Ping if self.control.len() + self.queued_control() == 0 => {
                let ping = Message::Ping(Bytes::new());
                self.with_context(None, |context, io| context.write(io, ping))
                    .map_err(|_| Close::Gone)?;
            }
            // The peer has not taken the last ping yet.
            Outgoing::Ping => {}
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Close>> {
        self.poll_write(cx).map_err(|_| Close::Gone)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Close>> {
        self.poll_flush(cx)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Transport for Socket<I> {
    fn drop_unsent(&mut self) -> Dropped {
        self.outbox.drop_unsent()
    }
}

/// The stream that tungstenite is given: it reads the socket, and writes into a buffer.
struct Adapter<'a, 'c, I> {
    io: &'a mut I,
    control: &'a mut Vec<u8>,
    activity: &'a LastActivity,
    /// None where nothing is to be read.
    cx: Option<&'a mut Context<'c>>,
}

impl<I: AsyncRead + Unpin> Read for Adapter<'_, '_, I> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(cx) = &mut self.cx else { return Err(io::ErrorKind::WouldBlock.into()) };
        let mut buffer = ReadBuf::new(into);
        match Pin::new(&mut *self.io).poll_read(cx, &mut buffer) {
            Poll::Ready(result) => result?,
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
        if !buffer.filled().is_empty() {
            self.activity.note();
        }
        Ok(buffer.filled().len())
    }
}

impl<I> Write for Adapter<'_, '_, I> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.control.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
