//! The database's clock, by which every age is counted, as this replica knows it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use crate::event::Micros;

/// A reading that is behind what was reckoned by less than this, in microseconds, took so long to
/// arrive; by more, the database's clock was set back.
const TRAVEL: i64 = 250_000;
/// There was no reading yet.
const NONE: i64 = i64::MIN;

/// Reckons on from the last reading. Sessions ask at every flush, so there is no lock.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
    /// The database's clock at `origin`, by the best reading, in microseconds since 1970.
    at_origin: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { origin: Instant::now(), at_origin: AtomicI64::new(NONE) }
    }
}

impl Clock {
    /// The database said this just now. Only the tail calls it.
    pub(super) fn set(&self, clock: Micros) {
        let best = self.at_origin.load(Ordering::Relaxed);
        let new = clock.0.saturating_sub(self.elapsed());
        // Readings arrive late, never early: the latest of them is the best.
        if best == NONE || new > best || new < best.saturating_sub(TRAVEL) {
            self.at_origin.store(new, Ordering::Relaxed);
        }
    }

    /// What it says now, in microseconds since 1970; the machine's own clock before the first
    /// reading.
    pub(super) fn now(&self) -> i64 {
        match self.at_origin.load(Ordering::Relaxed) {
            NONE => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                since.ok().and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or(0)
            }
            at_origin => at_origin.saturating_add(self.elapsed()),
        }
    }

    /// Microseconds since `origin`.
    fn elapsed(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_lead_on_unless_the_clock_is_set_back() {
        let clock = Clock::default();
        clock.set(Micros(10_000_000));
        clock.set(Micros(9_900_000));
        assert!(clock.now() >= 10_000_000, "a reading that was under way for longer");
        clock.set(Micros(5_000_000));
        assert!((5_000_000..6_000_000).contains(&clock.now()), "set back");
        clock.set(Micros(20_000_000));
        assert!(clock.now() >= 20_000_000);
    }
}
