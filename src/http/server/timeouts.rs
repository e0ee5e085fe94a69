//! How long the other end of a connection may take, and when it counts as alive.
//!
//! hyper has one timer, which covers a request's header and the wait for it alike. The relay needs
//! three: a header that was begun must end soon, an answer must be taken, and only a connection
//! that is idle between two requests may wait long.
//!
//! **When a peer counts as alive.** A subscriber may be silent for hours, so the relay looks for
//! signs of life. There are two: bytes that came from the peer, such as the answer to a ping, and
//! bytes that the peer took. That the kernel accepted bytes is not enough: its buffer takes a
//! ping or a mark long after the peer has gone. Bytes count as taken when they had to wait for
//! room in that buffer, or when they are events: a peer that does not read fills the buffer after a
//! few of them, and bytes that are not acknowledged end the connection (`TCP_USER_TIMEOUT`). A
//! peer without a sign of life for [`PEER_TIMEOUT`] is gone. Without this rule dead subscribers
//! would hold their connections for as long as the relay runs.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::stream::ClientStream;

/// How long a request's header may take from its first byte; of a new connection, from its
/// beginning.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer from which nothing came, and by which nothing was taken, for this long is gone.
pub(in crate::http) const PEER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes that the kernel may hold for a peer. Linux counts its own bookkeeping in, and gives twice
/// as much.
const SEND_BUFFER: usize = 128 * 1024;

/// When a connection's peer last gave a sign of life. The transport notes it, the session reads it.
#[derive(Debug, Clone)]
pub(in crate::http) struct LastActivity {
    origin: Instant,
    /// Milliseconds after `origin`.
    noted: Arc<AtomicU64>,
}

impl LastActivity {
    pub(in crate::http) fn new() -> Self {
        Self { origin: Instant::now(), noted: Arc::default() }
    }

    /// The peer sent a byte, or took one.
    pub(in crate::http) fn note(&self) {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.noted.store(now, Ordering::Relaxed);
    }

    /// For how long the peer has given no sign of life.
    pub(in crate::http) fn idle(&self) -> Duration {
        let noted = Duration::from_millis(self.noted.load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(noted)
    }
}

/// How many requests of a connection were begun and how many were answered. The service counts
/// them; the stream reads the counts.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicU64,
    answered: AtomicU64,
}

impl RequestCounts {
    pub(super) fn begin(&self) {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answer(&self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Whether a request is being served.
    fn is_serving(&self) -> bool {
        self.begun() > self.0.answered.load(Ordering::Relaxed)
    }
}

/// A stream that ends when its peer takes too long.
#[derive(Debug)]
pub(in crate::http) struct TimeoutStream {
    stream: ClientStream,
    requests: RequestCounts,
    /// Requests whose headers have come whole.
    begun: u64,
    header_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl TimeoutStream {
    pub(super) fn new(stream: ClientStream, requests: RequestCounts) -> Self {
        bound_kernel_buffer(stream.tcp());
        Self {
            stream,
            requests,
            begun: 0,
            header_timer: Some(Box::pin(sleep(HEADER_TIMEOUT))),
            write_timer: None,
        }
    }

    /// The stream alone, for a connection that becomes a WebSocket.
    pub(in crate::http) fn into_stream(self) -> ClientStream {
        self.stream
    }

    /// Stops the write timer when the kernel took bytes, and starts it when the kernel had no room.
    fn time_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.write_timer = None;
            return wrote;
        }
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep(PEER_TIMEOUT)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Bounds what the kernel holds for a peer: the time, since a stream of events has no other way to
/// find that its peer is gone; and the bytes, since for a peer that asks and takes no answer the
/// kernel would accept megabytes of answers, each of them work.
fn bound_kernel_buffer(stream: &TcpStream) {
    use nix::sys::socket::{setsockopt, sockopt};
    // These fail on a connection that is gone, which is found soon enough.
    let _ = setsockopt(stream, sockopt::SndBuf, &SEND_BUFFER);
    #[cfg(target_os = "linux")]
    {
        let millis = u32::try_from(PEER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
        let _ = setsockopt(stream, sockopt::TcpUserTimeout, &millis);
    }
}

impl AsyncRead for TimeoutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if self.begun != self.requests.begun() {
            self.begun = self.requests.begun();
            self.header_timer = None;
        }
        if self.requests.is_serving() {
            // The handler that reads a body times it.
            return read;
        }
        if read.is_ready() {
            if into.filled().len() > before && self.header_timer.is_none() {
                self.header_timer = Some(Box::pin(sleep(HEADER_TIMEOUT)));
            }
            return read;
        }
        match &mut self.header_timer {
            Some(timer) => timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for TimeoutStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.time_write(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.time_write(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS keeps bytes for which the kernel had no room.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.time_write(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
