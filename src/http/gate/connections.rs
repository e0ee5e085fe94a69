//! The first check: how many connections there are, all and by address.
//!
//! A connection beyond the limits is accepted all the same, up to [`REFUSALS`] of them, so that its
//! requests are answered in a way that a client understands. A connection that is not accepted
//! would look to the client like a relay that is down.

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

impl Counts {
    fn add(&mut self, address: IpAddr, admitted: bool) {
        *self.all.of(admitted) += 1;
        *self.by_address.entry(address).or_default().of(admitted) += 1;
    }

    fn remove(&mut self, address: IpAddr, admitted: bool) {
        *self.all.of(admitted) -= 1;
        if let Some(count) = self.by_address.get_mut(&address) {
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

    fn has_room(&self, counts: &Counts, address: IpAddr) -> bool {
        counts.all.admitted < self.max && counts.at(address).admitted < self.max_per_address
    }

    /// Counts a new connection. One beyond the limits gets a permit too, with which its requests
    /// are refused. `None`: there are too many even of those, and the connection is to be dropped.
    pub(in crate::http) fn permit(
        self: &Arc<Self>,
        remote: SocketAddr,
    ) -> Option<ConnectionPermit> {
        let address = remote.ip().to_canonical();
        let mut counts = self.lock();
        let admitted = self.has_room(&counts, address);
        let refused = [counts.all.refused, counts.at(address).refused];
        if !admitted && refused.iter().any(|&refused| refused >= REFUSALS) {
            return None;
        }
        counts.add(address, admitted);
        drop(counts);
        let admitted = AtomicBool::new(admitted);
        Some(ConnectionPermit(Arc::new(Permit { limiter: Arc::clone(self), address, admitted })))
    }
}

/// A connection is counted as long as a copy of its permit exists: in the connection's task, then
/// in the session that the connection becomes.
#[derive(Debug, Clone)]
pub(in crate::http) struct ConnectionPermit(Arc<Permit>);

#[derive(Debug)]
struct Permit {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
    /// Whether the connection is within the limits. Changed once at most, from false to true, under
    /// the lock of the limiter's counts.
    admitted: AtomicBool,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let admitted = *self.admitted.get_mut();
        self.limiter.lock().remove(self.address, admitted);
    }
}

impl ConnectionPermit {
    /// The other end of the connection.
    pub(in crate::http) fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Whether the connection is within the limits. A connection that was accepted beyond them asks
    /// again with each of its requests: a proxy keeps its connections, and would otherwise be
    /// refused for as long as it keeps this one.
    pub(in crate::http) fn is_admitted(&self) -> bool {
        let permit = &*self.0;
        if permit.admitted.load(Ordering::Relaxed) {
            return true;
        }
        let mut counts = permit.limiter.lock();
        // Another request of the connection may have changed it before the lock was taken.
        if permit.admitted.load(Ordering::Relaxed) {
            return true;
        }
        let has_room = permit.limiter.has_room(&counts, permit.address);
        if has_room {
            counts.remove(permit.address, false);
            counts.add(permit.address, true);
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
        let permit = |last| limiter.permit(remote(last)).expect("a permit");
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
        let first = limiter.permit(remote(1)).expect("a permit");
        let beyond: Vec<_> =
            (0..REFUSALS).map(|_| limiter.permit(remote(1)).expect("a refusal")).collect();
        assert!(!beyond.iter().any(ConnectionPermit::is_admitted));
        assert!(limiter.permit(remote(1)).is_none());
        assert!(limiter.permit(remote(2)).expect("a permit").is_admitted());
        drop(first);
        assert_eq!(beyond.iter().filter(|permit| permit.is_admitted()).count(), 1);
    }
}
