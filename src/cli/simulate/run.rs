//! The clock, and the ledger of sent events, which students and dashboards share.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::client::BaseUrl;

/// A run of the simulation.
pub(super) struct Run {
    pub(super) urls: Vec<BaseUrl>,
    pub(super) class: String,
    /// The text in each event of this run that precedes the sequence number.
    pub(super) marker: String,
    origin: Instant,
    /// The end of the warm-up, in nanoseconds since `origin`. POSTs that are due earlier do not
    /// count.
    counted_from: AtomicU64,
    ledger: Mutex<Ledger>,
}

impl Run {
    pub(super) fn new(urls: Vec<BaseUrl>, class: String) -> Self {
        let marker = format!("\"simulateSeq\":\"{:08x}-", fastrand::u32(..));
        let ledger = Mutex::new(Ledger::default());
        Self {
            urls,
            class,
            marker,
            origin: Instant::now(),
            counted_from: AtomicU64::new(u64::MAX),
            ledger,
        }
    }

    /// The relay of the connection with this index.
    pub(super) fn url(&self, index: usize) -> &BaseUrl {
        &self.urls[index % self.urls.len()]
    }

    /// Nanoseconds since the run's start.
    pub(super) fn now(&self) -> u64 {
        nanos(self.origin.elapsed())
    }

    /// Begins the load, and returns its beginning.
    pub(super) fn begin(&self, warmup: Duration) -> u64 {
        let now = self.now();
        self.counted_from.store(now + nanos(warmup), Ordering::Relaxed);
        now
    }

    pub(super) fn counted_from(&self) -> u64 {
        self.counted_from.load(Ordering::Relaxed)
    }

    /// Locks the ledger. The lock is held for one frame or one answer and never across an await.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A duration in nanoseconds, at most 584 years.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The events that were acknowledged, and the id under which each came to a dashboard that decodes
/// events.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The id of each sequence number; 0 until the event is seen.
    ids: Vec<i64>,
    acknowledged: Vec<bool>,
    /// The ids of events of other senders, and of this run's events that were stored a second time.
    others: HashSet<i64>,
    seen: u64,
    /// The wrapping sum of all ids, including `others`.
    sum: u64,
    /// The events that were acknowledged and are not seen yet.
    missing: u64,
    acknowledged_count: u64,
    stored_twice: u64,
}

impl Ledger {
    /// Notes that an event of this run came to a dashboard.
    pub(super) fn see(&mut self, sequence: usize, id: i64) {
        // An event with this run's marker and an unknown sequence number is another sender's.
        let Some(known) = self.ids.get_mut(sequence) else { return self.see_other(id) };
        if *known == 0 {
            *known = id;
            self.seen += 1;
            self.sum = self.sum.wrapping_add(id.cast_unsigned());
            if self.acknowledged[sequence] {
                self.missing -= 1;
            }
        } else if *known != id && !self.others.contains(&id) {
            self.stored_twice += 1;
            self.see_other(id);
        }
    }

    /// Notes that an event of another sender came to a dashboard.
    pub(super) fn see_other(&mut self, id: i64) {
        if self.others.insert(id) {
            self.sum = self.sum.wrapping_add(id.cast_unsigned());
        }
    }

    /// Allocates `count` sequence numbers and returns the first.
    pub(super) fn send(&mut self, count: usize) -> usize {
        let first = self.ids.len();
        self.ids.resize(first + count, 0);
        self.acknowledged.resize(first + count, false);
        first
    }

    /// Notes that the relay has acknowledged the event.
    pub(super) fn acknowledge(&mut self, sequence: usize) {
        if !std::mem::replace(&mut self.acknowledged[sequence], true) {
            self.acknowledged_count += 1;
            if self.ids[sequence] == 0 {
                self.missing += 1;
            }
        }
    }

    /// The number of events that were sent.
    pub(super) fn sent(&self) -> u64 {
        self.ids.len() as u64
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged_count
    }

    /// The number of events that every dashboard must have received, as far as is known.
    pub(super) fn expected(&self) -> u64 {
        self.seen + self.others.len() as u64 + self.missing
    }

    /// The number of acknowledged events that no decoding dashboard has received.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// The sum of the ids that every dashboard must have received; `None` while some ids are
    /// unknown.
    pub(super) fn sum(&self) -> Option<u64> {
        (self.missing == 0).then_some(self.sum)
    }

    /// The events that were delivered although their POST was not answered with success.
    pub(super) fn unconfirmed(&self) -> u64 {
        (self.seen + self.missing).saturating_sub(self.acknowledged_count)
    }

    /// The events that came under two ids.
    pub(super) fn stored_twice(&self) -> u64 {
        self.stored_twice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_balances() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.send(4), 0);
        ledger.see(0, 10);
        ledger.acknowledge(0);
        ledger.acknowledge(1);
        assert_eq!((ledger.missing(), ledger.expected(), ledger.sum()), (1, 2, None));
        ledger.see(1, 11);
        ledger.see(1, 11);
        ledger.see(2, 12);
        assert_eq!((ledger.missing(), ledger.expected(), ledger.sum()), (0, 3, Some(33)));
        assert_eq!((ledger.unconfirmed(), ledger.stored_twice()), (1, 0));
        ledger.see(0, 13);
        ledger.see_other(14);
        assert_eq!((ledger.expected(), ledger.stored_twice(), ledger.sum()), (5, 1, Some(60)));
    }
}
