//! The database's clock, by which every age is counted, as this replica knows it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::event::Micros;

/// A reading that is behind what was reckoned by less than this, in microseconds, took so long to
/// arrive; by more, the database's clock was set back.
const TRAVEL: i64 = 250_000;

/// Reckons on from the last reading.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// When it was read, and what it said. Held for a line.
    reading: Mutex<Option<(Instant, i64)>>,
}

impl Clock {
    /// The database said this just now.
    pub(super) fn set(&self, clock: Micros) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let reckoned = reading.map(|(at, clock)| reckon(now, at, clock));
        // Readings arrive late, never early: the latest of them is the best.
        if reckoned.is_none_or(|reckoned| clock.0 > reckoned || clock.0 < reckoned - TRAVEL) {
            *reading = Some((now, clock.0));
        }
    }

    /// What it says now, in microseconds since 1970; the machine's own clock before the first
    /// reading.
    pub(super) fn now(&self) -> i64 {
        let reading = *self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        match reading {
            Some((at, clock)) => reckon(Instant::now(), at, clock),
            None => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                since.ok().and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or(0)
            }
        }
    }
}

fn reckon(now: Instant, at: Instant, clock: i64) -> i64 {
    clock.saturating_add(i64::try_from(now.duration_since(at).as_micros()).unwrap_or(i64::MAX))
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
