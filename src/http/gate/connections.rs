//! The first check: how many connections there are, all and by address.
//!
//! A connection beyond the limits is accepted all the same, up to [`REFUSALS`] of them, so that its
//! requests are answered in a way that a client understands. A connection that is not accepted
//! would look to the client like a relay that is down.
//!
//! A trusted proxy's connections carry the requests of many clients. Such a connection counts among
//! all, and each of its requests counts for the address of its client, for as long as it is
//! answered or its session lives.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections beyond a limit that are accepted in order to be refused. Any further ones are
/// dropped.
const REFUSALS: usize = 64;

/// Counts connections, all and by address, and knows the limits of both.
#[derive(Debug)]
pub(crate) struct ConnectionLimiter {
    max: usize,
    max_per_address: usize,
    /// Held for a few lines.
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: Count,
    by_address: HashMap<IpAddr, Count>,
}

/// Connections within the limits, and connections beyond them that are there to be refused.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    admitted: usize,
    refused: usize,
}

impl Count {
    fn is_empty(self) -> bool {
        self.admitted + self.refused == 0
    }

    /// The number in which a connection is counted.
    fn of(&mut self, admitted: bool) -> &mut usize {
        if admitted { &mut self.admitted } else { &mut self.refused }
    }
}

/// How a permit is counted.
#[derive(Debug, Clone, Copy)]
enum Counted {
    /// A connection of one client.
    Client(IpAddr),
    /// A connection of a trusted proxy.
    Proxy,
    /// A request of this client on a proxy's connection.
    Request(IpAddr),
}

impl Counted {
    fn address(self) -> Option<IpAddr> {
        match self {
            Self::Client(address) | Self::Request(address) => Some(address),
            Self::Proxy => None,
        }
    }

    /// Whether it counts among all connections.
    fn is_connection(self) -> bool {
        !matches!(self, Self::Request(_))
    }
}

impl Counts {
    fn add(&mut self, counted: Counted, admitted: bool) {
        if counted.is_connection() {
            *self.all.of(admitted) += 1;
        }
        if let Some(address) = counted.address() {
            *self.by_address.entry(address).or_default().of(admitted) += 1;
        }
    }

    fn remove(&mut self, counted: Counted, admitted: bool) {
        if counted.is_connection() {
            *self.all.of(admitted) -= 1;
        }
        if let Some(address) = counted.address()
            && let Some(count) = self.by_address.get_mut(&address)
        {
            *count.of(admitted) -= 1;
            if count.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }

    fn at(&self, address: IpAddr) -> Count {
        self.by_address.get(&address).copied().unwrap_or_default()
    }
}

impl ConnectionLimiter {
    /// At most `max` connections at once, and `max_per_address` from one address.
    pub(crate) fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self { max, max_per_address, counts: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        let all = self.lock().all;
        all.admitted + all.refused
    }

    fn has_room(&self, counts: &Counts, counted: Counted) -> bool {
        let is_full = counted.is_connection() && counts.all.admitted >= self.max;
        let has_room = |address| counts.at(address).admitted < self.max_per_address;
        !is_full && counted.address().is_none_or(has_room)
    }

    /// Counts a new connection, of a client or of a trusted proxy. One beyond the limits gets a
    /// permit too, with which its requests are refused. `None`: there are too many even of those,
    /// and the connection is to be dropped.
    pub(in crate::http) fn permit(
        self: &Arc<Self>,
        remote: SocketAddr,
        is_proxy: bool,
    ) -> Option<ConnectionPermit> {
        let counted = match remote.ip().to_canonical() {
            _ if is_proxy => Counted::Proxy,
            address => Counted::Client(address),
        };
        let mut counts = self.lock();
        let admitted = self.has_room(&counts, counted);
        let of_address = counted.address().map_or(0, |address| counts.at(address).refused);
        let is_crowded = counts.all.refused >= REFUSALS || of_address >= REFUSALS;
        if !admitted && is_crowded {
            return None;
        }
        counts.add(counted, admitted);
        drop(counts);
        Some(self.counted(counted, admitted, None))
    }

    /// A permit that is counted already.
    fn counted(
        self: &Arc<Self>,
        counted: Counted,
        admitted: bool,
        connection: Option<ConnectionPermit>,
    ) -> ConnectionPermit {
        let admitted = AtomicBool::new(admitted);
        let limiter = Arc::clone(self);
        ConnectionPermit(Arc::new(Permit { limiter, counted, connection, admitted }))
    }
}

/// A connection is counted as long as a copy of its permit exists: in the connection's task, then
/// in the session that the connection becomes.
#[derive(Debug, Clone)]
pub(in crate::http) struct ConnectionPermit(Arc<Permit>);

#[derive(Debug)]
struct Permit {
    limiter: Arc<ConnectionLimiter>,
    counted: Counted,
    /// The connection that a request came on.
    connection: Option<ConnectionPermit>,
    /// Whether the connection is within the limits. Changed once at most, from false to true, under
    /// the lock of the limiter's counts.
    admitted: AtomicBool,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let admitted = *self.admitted.get_mut();
        self.limiter.lock().remove(self.counted, admitted);
    }
}

impl ConnectionPermit {
    /// Counts a request of this client that came on the connection. On a client's own connection
    /// the request is counted with it.
    pub(in crate::http) fn of_request(&self, client: IpAddr) -> Self {
        let limiter = &self.0.limiter;
        if !matches!(self.0.counted, Counted::Proxy) {
            return self.clone();
        }
        let counted = Counted::Request(client);
        let mut counts = limiter.lock();
        let admitted = limiter.has_room(&counts, counted);
        counts.add(counted, admitted);
        drop(counts);
        limiter.counted(counted, admitted, Some(self.clone()))
    }

    /// Whether the connection is within the limits. A connection that was accepted beyond them asks
    /// again with each of its requests: a proxy keeps its connections, and would otherwise be
    /// refused for as long as it keeps this one.
    pub(in crate::http) fn is_admitted(&self) -> bool {
        let permit = &*self.0;
        if permit.connection.as_ref().is_some_and(|connection| !connection.is_admitted()) {
            return false;
        }
        if permit.admitted.load(Ordering::Relaxed) {
            return true;
        }
        let mut counts = permit.limiter.lock();
        // Another request of the connection may have changed it before the lock was taken.
        if permit.admitted.load(Ordering::Relaxed) {
            return true;
        }
        let has_room = permit.limiter.has_room(&counts, permit.counted);
        if has_room {
            counts.remove(permit.counted, false);
            counts.add(permit.counted, true);
            permit.admitted.store(true, Ordering::Relaxed);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 1))
    }

    #[test]
    fn a_connection_beyond_the_limit_is_admitted_once_there_is_room() {
        let limiter = ConnectionLimiter::new(2, 2);
        let permit = |last| limiter.permit(remote(last), false).expect("a permit");
        let (one, two) = (permit(1), permit(2));
        let (three, four) = (permit(3), permit(4));
        assert!(one.is_admitted() && two.is_admitted());
        assert!(!three.is_admitted() && !four.is_admitted());
        drop(one);
        assert!(three.is_admitted(), "there is room for one");
        assert!(!four.is_admitted());
        drop((two, three));
        assert!(four.is_admitted() && four.clone().is_admitted());
        assert_eq!(limiter.count(), 1);
        drop(four);
        assert_eq!(limiter.count(), 0);
        assert!(limiter.lock().by_address.is_empty());
    }

    #[test]
    fn an_address_has_a_limit_and_refusals_have_one() {
        let limiter = ConnectionLimiter::new(1000, 1);
        let first = limiter.permit(remote(1), false).expect("a permit");
        let beyond: Vec<_> =
            (0..REFUSALS).map(|_| limiter.permit(remote(1), false).expect("a refusal")).collect();
        assert!(!beyond.iter().any(ConnectionPermit::is_admitted));
        assert!(limiter.permit(remote(1), false).is_none());
        assert!(limiter.permit(remote(2), false).expect("a permit").is_admitted());
        drop(first);
        assert_eq!(beyond.iter().filter(|permit| permit.is_admitted()).count(), 1);
    }

    #[test]
    fn a_proxys_requests_count_for_their_clients() {
        let limiter = ConnectionLimiter::new(3, 1);
        let client = |last| remote(last).ip();
        let proxy: Vec<_> =
            (0..3).map(|_| limiter.permit(remote(9), true).expect("a connection")).collect();
        assert!(proxy.iter().all(ConnectionPermit::is_admitted), "it is no client");
        let first = proxy[0].of_request(client(1));
        let second = proxy[1].of_request(client(1));
        let other = proxy[2].of_request(client(2));
        assert!(first.is_admitted() && !second.is_admitted() && other.is_admitted());
        assert_eq!(limiter.count(), 3, "requests are no connections");
        drop(first);
        assert!(second.is_admitted());
        let beyond = limiter.permit(remote(9), true).expect("a refusal");
        assert!(!beyond.of_request(client(3)).is_admitted(), "its connection is one too many");
        drop((proxy, second, other, beyond));
        assert!(limiter.lock().by_address.is_empty() && limiter.count() == 0);
        let own = limiter.permit(remote(1), false).expect("a permit");
        assert!(own.of_request(client(2)).is_admitted());
        assert_eq!(limiter.lock().by_address.len(), 1, "it is no proxy's");
    }
}
