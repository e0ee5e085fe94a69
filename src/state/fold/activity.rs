//! The runs, failures and raised hands of a class, minute by minute.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::event::Micros;

/// Minutes that are stored: a day. They are counted back from the newest minute in which anything
/// was received.
pub(crate) const MAX_MINUTES: i64 = 24 * 60;
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// From the start of the oldest stored minute to the start of the newest.
const STORED_SPAN: Duration = Duration::from_secs(60 * (MAX_MINUTES as u64 - 1));

/// The counts of one minute, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Minute {
    /// Runs, without repeats.
    pub(crate) runs: i64,
    /// Runs that failed.
    pub(crate) errors: i64,
    /// Hands raised.
    pub(crate) help: i64,
}

/// The start of the minute that a moment lies in.
pub(crate) fn minute_of(moment: Micros) -> Micros {
    const MICROS: i64 = MINUTE.as_micros() as i64;
    Micros(moment.0.div_euclid(MICROS) * MICROS)
}

/// The minutes in which something happened, by their start.
#[derive(Debug, Default)]
pub(in crate::state) struct Activity {
    minutes: BTreeMap<Micros, Minute>,
    /// The minutes that have changed; `None` while no changes are tracked.
    changed: Option<BTreeSet<Micros>>,
}

impl Activity {
    /// The minute in which `received` lies; `None` if that is too old to be stored.
    pub(in crate::state) fn at(&mut self, received: Micros) -> Option<&mut Minute> {
        let start = minute_of(received);
        let newest = self.minutes.last_key_value().map_or(start, |(&newest, _)| newest.max(start));
        let oldest = newest - STORED_SPAN;
        if start < oldest {
            return None;
        }
        while let Some(first) = self.minutes.first_entry().filter(|first| *first.key() < oldest) {
            let (start, _) = first.remove_entry();
            if let Some(changed) = &mut self.changed {
                changed.insert(start);
            }
        }
        if let Some(changed) = &mut self.changed {
            changed.insert(start);
        }
        Some(self.minutes.entry(start).or_default())
    }

    /// Removes all minutes: a lesson begins.
    pub(in crate::state) fn clear(&mut self) {
        let removed = std::mem::take(&mut self.minutes);
        if let Some(changed) = &mut self.changed {
            changed.extend(removed.into_keys());
        }
    }

    /// The minutes that end after `from`, in order.
    pub(in crate::state) fn since(&self, from: Micros) -> impl Iterator<Item = (Micros, Minute)> {
        let first = Micros((from - MINUTE).0.saturating_add(1));
        self.minutes.range(first..).map(|(&start, &minute)| (start, minute))
    }

    pub(in crate::state) fn len(&self) -> usize {
        self.minutes.len()
    }

    pub(in crate::state) fn get(&self, start: Micros) -> Option<Minute> {
        self.minutes.get(&start).copied()
    }

    /// Puts back a minute of a snapshot.
    pub(in crate::state) fn restore(&mut self, start: Micros, minute: Minute) {
        self.minutes.insert(start, minute);
    }

    /// From now on the minutes that change are noted for [`Self::take_changed`], or no longer.
    pub(in crate::state) fn track_changes(&mut self, on: bool) {
        self.changed = on.then(BTreeSet::new);
    }

    /// The starts of the minutes that have changed, or were removed, since this was last called.
    pub(in crate::state) fn take_changed(&mut self) -> BTreeSet<Micros> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(number: i64) -> Micros {
        Micros(number * 60_000_000)
    }

    #[test]
    fn a_day_of_minutes_is_stored() {
        let mut activity = Activity::default();
        for number in 0..MAX_MINUTES + 10 {
            activity.at(Micros(minute(number).0 + 7)).expect("new").runs += 1;
        }
        assert_eq!(activity.since(Micros(0)).count(), MAX_MINUTES as usize);
        assert_eq!(activity.since(Micros(0)).next().map(|(start, _)| start), Some(minute(10)));
        assert!(activity.at(minute(9)).is_none(), "too old");
        assert!(activity.at(minute(10)).is_some());
        assert_eq!(activity.since(minute(MAX_MINUTES + 8)).count(), 2);
    }
}
