//! The database's clock, by which every age is counted, as far as this replica knows.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::event::Micros;

/// A reading that is behind the clock as it was reckoned by less than this took that long to
/// arrive. One that is further behind means that the database's clock was set back.
const TRAVEL: Duration = Duration::from_millis(250);

/// Reckons the time from the last reading.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Held for a line.
    reading: Mutex<Option<Reading>>,
}

/// A time that the database's clock showed.
#[derive(Debug, Clone, Copy)]
struct Reading {
    time: Micros,
    /// When it arrived here.
    at: Instant,
}

impl Reading {
    /// The time that the clock shows at `now`.
    fn reckon(self, now: Instant) -> Micros {
        self.time + now.duration_since(self.at)
    }
}

impl Clock {
    /// The database's clock was just read.
    pub(super) fn set(&self, time: Micros) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let reckoned = reading.map(|reading| reading.reckon(now));
        // Readings arrive late, never early: the one that is furthest ahead is the best.
        if reckoned.is_none_or(|reckoned| time > reckoned || time < reckoned - TRAVEL) {
            *reading = Some(Reading { time, at: now });
        }
    }

    /// The time now; before the first reading, by this machine's clock.
    pub(super) fn now(&self) -> Micros {
        let reading = *self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        match reading {
            Some(reading) => reading.reckon(Instant::now()),
            None => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                Micros(0) + since.unwrap_or_default()
            }
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
