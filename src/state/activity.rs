//! What a class did, minute by minute.

use std::collections::{BTreeMap, BTreeSet};

pub use crate::store::Minute;

/// Minutes kept: a day. Counted back from the newest that anything was received in.
pub const MAX_MINUTES: i64 = 24 * 60;
const MINUTE: i64 = 60_000_000;

/// The minutes in which there was something, by their start in microseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Activity {
    minutes: BTreeMap<i64, Minute>,
    changed: Option<BTreeSet<i64>>,
}

impl Activity {
    /// The minute of `received`; `None` if it is too old to be kept.
    pub(super) fn at(&mut self, received: i64) -> Option<&mut Minute> {
        let start = received.div_euclid(MINUTE) * MINUTE;
        let newest = self.minutes.last_key_value().map_or(start, |(&newest, _)| newest.max(start));
        let oldest = Self::oldest(newest);
        if start < oldest {
            return None;
        }
        while let Some(first) = self.minutes.first_entry().filter(|first| *first.key() < oldest) {
            first.remove();
        }
        if let Some(changed) = &mut self.changed {
            changed.insert(start);
        }
        Some(self.minutes.entry(start).or_default())
    }

    fn oldest(newest: i64) -> i64 {
        newest - (MAX_MINUTES - 1) * MINUTE
    }

    /// The start of the oldest minute that is kept.
    pub(super) fn begin(&self) -> Option<i64> {
        self.minutes.last_key_value().map(|(&newest, _)| Self::oldest(newest))
    }

    /// The minutes that end after `from`, in order.
    pub(super) fn since(&self, from: i64) -> impl Iterator<Item = (i64, Minute)> {
        self.minutes
            .range(from.saturating_sub(MINUTE - 1)..)
            .map(|(&start, &minute)| (start, minute))
    }

    pub(super) fn len(&self) -> usize {
        self.minutes.len()
    }

    pub(super) fn get(&self, start: i64) -> Option<Minute> {
        self.minutes.get(&start).copied()
    }

    pub(super) fn restore(&mut self, start: i64, minute: Minute) {
        self.minutes.insert(start, minute);
    }

    pub(super) fn remember(&mut self, on: bool) {
        self.changed = on.then(BTreeSet::new);
    }

    pub(super) fn take_changed(&mut self) -> BTreeSet<i64> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_kept() {
        let mut activity = Activity::default();
        for minute in 0..MAX_MINUTES + 10 {
            activity.at(minute * MINUTE + 7).expect("new").runs += 1;
        }
        assert_eq!(activity.since(0).count(), MAX_MINUTES as usize);
        assert_eq!(activity.begin(), Some(10 * MINUTE));
        assert!(activity.at(9 * MINUTE).is_none(), "too old");
        assert!(activity.at(10 * MINUTE).is_some());
        assert_eq!(activity.since((MAX_MINUTES + 8) * MINUTE).count(), 2);
    }
}
