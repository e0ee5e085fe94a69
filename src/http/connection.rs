//! A TCP connection while it carries HTTP: its timeouts, and its place among all of them.
//!
//! hyper's one timer covers a header and the wait for it alike; here a header that was begun must
//! end soon, an answer must be taken, and only a connection that is idle between two requests may
//! wait.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::session::LIFETIME;

/// How long a request's header may take from its first byte; of a new connection, from its
/// beginning.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that the kernel may hold for a peer; Linux counts its own bookkeeping in, and gives twice
/// as much.
const SEND_BUFFER: usize = 128 * 1024;
/// Beyond the cap, this many connections more are answered with a refusal that a client can
/// understand, then none.
const REFUSALS: usize = 64;

/// Counts connections, all and by address.
#[derive(Debug)]
pub struct Places {
    max: usize,
    max_per_address: usize,
    /// Held for a few lines.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: Count,
    by_address: HashMap<IpAddr, Count>,
}

/// Connections that are within the cap, and those beyond it that are there to be told so.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    admitted: usize,
    refused: usize,
}

impl Count {
    fn is_empty(self) -> bool {
        self.admitted + self.refused == 0
    }

    /// The number that a connection is counted in.
    fn of(&mut self, admitted: bool) -> &mut usize {
        if admitted { &mut self.admitted } else { &mut self.refused }
    }
}

impl Taken {
    fn add(&mut self, address: IpAddr, admitted: bool) {
        *self.all.of(admitted) += 1;
        *self.by_address.entry(address).or_default().of(admitted) += 1;
    }

    fn remove(&mut self, address: IpAddr, admitted: bool) {
        *self.all.of(admitted) -= 1;
        if let Some(own) = self.by_address.get_mut(&address) {
            *own.of(admitted) -= 1;
            if own.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }

    fn own(&self, address: IpAddr) -> Count {
        self.by_address.get(&address).copied().unwrap_or_default()
    }
}

/// One connection's place; it moves on into the session.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    address: IpAddr,
    /// Whether it is within the cap. Changed once at most, from no to yes, under the lock of
    /// `places`.
    admitted: AtomicBool,
}

impl Places {
    /// So many at once, and so many from one address.
    pub fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self { max, max_per_address, taken: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn taken(&self) -> usize {
        let all = self.lock().all;
        all.admitted + all.refused
    }

    fn has_room(&self, taken: &Taken, address: IpAddr) -> bool {
        taken.all.admitted < self.max && taken.own(address).admitted < self.max_per_address
    }

    /// A place for a new connection; one that is beyond the cap is there to be told so. `None`: not
    /// even that.
    pub(super) fn take(self: &Arc<Self>, remote: SocketAddr) -> Option<Peer> {
        let address = remote.ip().to_canonical();
        let mut taken = self.lock();
        let admitted = self.has_room(&taken, address);
        if !admitted && (taken.all.refused >= REFUSALS || taken.own(address).refused >= REFUSALS) {
            return None;
        }
        taken.add(address, admitted);
        drop(taken);
        let admitted = AtomicBool::new(admitted);
        Some(Peer(Arc::new(Place { places: Arc::clone(self), address, admitted })))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let admitted = *self.admitted.get_mut();
        self.places.lock().remove(self.address, admitted);
    }
}

/// The other end of a connection, as requests know it.
#[derive(Debug, Clone)]
pub(super) struct Peer(Arc<Place>);

impl Peer {
    /// Whether there is no room for it now. A connection that was accepted beyond the cap asks
    /// again with each of its requests: a proxy keeps its connections, and would otherwise get
    /// refusals for as long as it does.
    pub(super) fn is_refused(&self) -> bool {
        let place = &*self.0;
        if place.admitted.load(Ordering::Relaxed) {
            return false;
        }
        let mut taken = place.places.lock();
        // Another request of the connection may have been here.
        if place.admitted.load(Ordering::Relaxed) {
            return false;
        }
        let room = place.places.has_room(&taken, place.address);
        if room {
            taken.remove(place.address, false);
            taken.add(place.address, true);
            place.admitted.store(true, Ordering::Relaxed);
        }
        !room
    }
}

/// How many requests have come and how many were answered: told by the service, heard by the
/// connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicU64,
    answered: AtomicU64,
}

impl Requests {
    pub(super) fn begin(&self) {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answer(&self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Whether one is being served.
    fn is_serving(&self) -> bool {
        self.begun() > self.0.answered.load(Ordering::Relaxed)
    }
}

/// A TCP stream that ends when its peer takes too long.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    requests: Requests,
    /// Requests whose headers have come whole.
    begun: u64,
    header: Option<Pin<Box<Sleep>>>,
    answer: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, requests: Requests) -> Self {
        bound(&stream);
        Self {
            stream,
            requests,
            begun: 0,
            header: Some(Box::pin(sleep(HEADER_TIMEOUT))),
            answer: None,
        }
    }

    /// The stream itself, once it carries something else.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Arms or disarms the timer of a write by what became of it.
    fn time_write(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            self.answer = None;
            return wrote;
        }
        let timer = self.answer.get_or_insert_with(|| Box::pin(sleep(LIFETIME)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Bounds what the kernel holds for a peer. What it took and the peer does not take ends the
/// connection after [`LIFETIME`]: a stream of events has no other way to find that its peer is
/// gone. And it takes no more than [`SEND_BUFFER`]: of a peer that asks and takes no answer, it
/// would go on to take megabytes of them, each of them work.
fn bound(stream: &TcpStream) {
    use nix::sys::socket::{setsockopt, sockopt};
    // They fail on a connection that is gone, which is found soon enough.
    let _ = setsockopt(stream, sockopt::SndBuf, &SEND_BUFFER);
    #[cfg(target_os = "linux")]
    {
        let millis = u32::try_from(LIFETIME.as_millis()).unwrap_or(u32::MAX);
        let _ = setsockopt(stream, sockopt::TcpUserTimeout, &millis);
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if self.begun != self.requests.begun() {
            self.begun = self.requests.begun();
            self.header = None;
        }
        if self.requests.is_serving() {
            // A body is timed by whoever reads it.
            return read;
        }
        if read.is_ready() {
            if into.filled().len() > before && self.header.is_none() {
                self.header = Some(Box::pin(sleep(HEADER_TIMEOUT)));
            }
            return read;
        }
        match &mut self.header {
            Some(timer) => timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Watched {
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
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 1))
    }

    #[test]
    fn a_connection_beyond_the_cap_is_admitted_once_there_is_room() {
        let places = Places::new(2, 2);
        let take = |last| places.take(remote(last)).expect("a place");
        let (one, two) = (take(1), take(2));
        let (three, four) = (take(3), take(4));
        assert!(!one.is_refused() && !two.is_refused());
        assert!(three.is_refused() && four.is_refused());
        drop(one);
        assert!(!three.is_refused(), "there is room for one");
        assert!(four.is_refused());
        drop((two, three));
        assert!(!four.is_refused() && !four.clone().is_refused());
        assert_eq!(places.taken(), 1);
        drop(four);
        assert_eq!(places.taken(), 0);
        assert!(places.lock().by_address.is_empty());
    }

    #[test]
    fn an_address_has_a_cap_of_its_own_and_refusals_have_one() {
        let places = Places::new(1000, 1);
        let first = places.take(remote(1)).expect("a place");
        let beyond: Vec<_> =
            (0..REFUSALS).map(|_| places.take(remote(1)).expect("a refusal")).collect();
        assert!(beyond.iter().all(Peer::is_refused));
        assert!(places.take(remote(1)).is_none());
        assert!(!places.take(remote(2)).expect("a place").is_refused());
        drop(first);
        assert_eq!(beyond.iter().filter(|peer| !peer.is_refused()).count(), 1);
    }
}
