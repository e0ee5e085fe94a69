//! The handle of the tail: rings it, and asks it for its position.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::event::Cursor;
use crate::metrics::{Histogram, Registry};

/// The end of the log at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    /// Every event up to this cursor was committed, and is in the log or in the table.
    pub cursor: Cursor,
    /// The last id that the database had allocated.
    pub sequence: i64,
    /// Events with ids up to this one may have been pruned.
    pub pruned: i64,
    /// The log's expiry when the position was read: see `Log::expiry`.
    pub expiry: u64,
}

/// The database did not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database did not say in time how far the log goes")]
pub(crate) struct Unreachable;

/// Rings the tail. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    pub(super) shared: Arc<Shared>,
}

/// The state that the handle and the follower share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) bell: Notify,
    /// The number of positions that were asked for so far.
    pub(super) asked: AtomicU64,
    pub(super) answered: watch::Sender<Answered>,
    /// Whether it is not proven that notifications arrive.
    pub(super) unproven: AtomicBool,
    /// The first ring of the doorbell that no read has answered, in nanoseconds after `origin`; 0
    /// without one.
    rung: AtomicU64,
    origin: Instant,
    doorbell_to_read: Histogram,
}

impl Shared {
    /// Takes the ring that the next read will answer.
    pub(super) fn take_ring(&self) -> u64 {
        self.rung.swap(0, Ordering::Relaxed)
    }

    /// A read has ended that began after `ring`, if there was one.
    pub(super) fn note_answered(&self, ring: u64) {
        if ring > 0 {
            let ring = Duration::from_nanos(ring);
            self.doorbell_to_read.observe(self.origin.elapsed().saturating_sub(ring));
        }
    }
}

/// The tail's latest answer.
#[derive(Debug)]
pub(super) struct Answered {
    /// The questions up to this number are answered by `position`.
    pub(super) asked: u64,
    pub(super) position: Position,
    /// The moment since which there is no connection; `None` while there is one.
    pub(super) away_since: Option<Instant>,
}

impl Tail {
    /// A tail whose position is `cursor` until a follower has read the table.
    pub(super) fn at(cursor: Cursor) -> Self {
        let position = Position { cursor, sequence: 0, pruned: 0, expiry: 0 };
        let (answered, _) =
            watch::channel(Answered { asked: 0, position, away_since: Some(Instant::now()) });
        Self {
            shared: Arc::new(Shared {
                bell: Notify::new(),
                asked: AtomicU64::new(0),
                answered,
                unproven: AtomicBool::new(true),
                rung: AtomicU64::new(0),
                origin: Instant::now(),
                doorbell_to_read: Histogram::of_durations(),
            }),
        }
    }

    /// A tail that follows nothing, for tests of sessions without a database.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self::at(Cursor { epoch: crate::event::Epoch::new("none"), id: 0 })
    }

    /// Sets whether it is not proven that notifications arrive: the tail then reads more often.
    pub(crate) fn set_unproven(&self, unproven: bool) {
        self.shared.unproven.store(unproven, Ordering::Relaxed);
        self.ring();
    }

    /// Wakes the tail: the table may have new events.
    pub(crate) fn ring(&self) {
        self.shared.bell.notify_one();
    }

    /// The doorbell rang: new events were committed.
    pub(crate) fn doorbell(&self) {
        let now = u64::try_from(self.shared.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Of several rings the first counts: its event has waited longest.
        let (without, relaxed) = (0, Ordering::Relaxed);
        let _ = self.shared.rung.compare_exchange(without, now.max(1), relaxed, relaxed);
        self.ring();
    }

    /// Registers the tail's metrics.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.histogram(
            "relay_doorbell_to_read_seconds",
            "Time from the doorbell to the end of the read it leads to.",
            &self.shared.doorbell_to_read,
        );
    }

    /// The moment since which the tail has no connection; `None` while it has one.
    pub(crate) fn away_since(&self) -> Option<Instant> {
        self.shared.answered.borrow().away_since
    }

    /// The end of the log, by a read of the table that begins after this call.
    ///
    /// Every event that any replica acknowledged before the call is at or before the position, and
    /// is in the log when this returns. A subscriber that starts at the position therefore misses
    /// no event that was acknowledged before it connected. An answer that was read before the call
    /// would not do: the table may have grown since. So each caller draws a number, rings, and
    /// waits for an answer to that number or to a later one; a read answers every number that was
    /// drawn before it began, and callers that ask at the same time share one read.
    ///
    /// # Errors
    /// [`Unreachable`] if the answer takes longer than `patience`.
    pub(crate) async fn position(&self, patience: Duration) -> Result<Position, Unreachable> {
        let mut answered = self.shared.answered.subscribe();
        let number = self.shared.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.ring();
        let answer =
            timeout(patience, answered.wait_for(|answered| answered.asked >= number)).await;
        match answer {
            Ok(Ok(answered)) => Ok(answered.position.clone()),
            Ok(Err(_)) | Err(_) => Err(Unreachable),
        }
    }
}
