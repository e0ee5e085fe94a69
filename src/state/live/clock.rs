//! The database's clock, by which every age is counted, as far as this replica knows.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::event::Micros;

/// A reading that is behind the clock as it was reckoned by less than this took that long to
/// arrive. One that is further behind means that the database's clock was set back.
const TRAVEL: Duration = Duration::from_millis(250);
/// There was no reading yet.
const NONE: i64 = i64::MIN;

/// Reckons the time from the last reading. Every session asks for the time whenever it has flushed
/// new events, so there is no lock.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
    /// The time at `origin`, by the best reading.
    at_origin: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { origin: Instant::now(), at_origin: AtomicI64::new(NONE) }
    }
}

impl Clock {
    /// The database's clock was just read. Only the tail calls this.
    pub(super) fn set(&self, time: Micros) {
        let best = self.at_origin.load(Ordering::Relaxed);
        let new = time - self.origin.elapsed();
        // Readings arrive late, never early: the one that is furthest ahead is the best.
        if best == NONE || new > Micros(best) || new < Micros(best) - TRAVEL {
            self.at_origin.store(new.0, Ordering::Relaxed);
        }
    }

    /// The time now; before the first reading, by this machine's clock.
    pub(super) fn now(&self) -> Micros {
        match self.at_origin.load(Ordering::Relaxed) {
            NONE => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                Micros(0) + since.unwrap_or_default()
            }
            at_origin => Micros(at_origin) + self.origin.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_back_only_if_it_was_set_back() {
        let clock = Clock::default();
        clock.set(Micros(10_000_000));
        clock.set(Micros(9_900_000));
        assert!(clock.now() >= Micros(10_000_000), "a reading that arrived late");
        clock.set(Micros(5_000_000));
        assert!((Micros(5_000_000)..Micros(6_000_000)).contains(&clock.now()), "set back");
        clock.set(Micros(20_000_000));
        assert!(clock.now() >= Micros(20_000_000));
    }
}
