//! A student's failures in a row, by cell.

use super::heap::text_bytes;
use super::normalized_event::NormalizedEvent;
use crate::event::Micros;

/// Cells of a student with failures in a row. Of more, the one that failed longest ago is dropped.
pub(crate) const MAX_STREAKS: usize = 16;

/// A cell that fails, and how often in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Streak {
    pub(crate) notebook_path: Option<Box<str>>,
    pub(crate) cell_id: Option<Box<str>>,
    pub(crate) cell_index: Option<i64>,
    pub(crate) failures: i64,
    /// When its last failure was received.
    pub(crate) failed_at: Micros,
}

/// The cells that fail, the one that failed last at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Streaks(Vec<Streak>);

impl Streaks {
    /// Those of a snapshot.
    pub(in crate::state) fn restore(streaks: Vec<Streak>) -> Self {
        Self(streaks)
    }

    /// As far as the status depends on them.
    pub(in crate::state) fn without_texts(&self) -> Self {
        let without_texts =
            |streak: &Streak| Streak { notebook_path: None, cell_id: None, ..*streak };
        Self(self.0.iter().map(without_texts).collect())
    }

    /// In the order of their last failures.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Streak> {
        self.0.iter()
    }

    /// The cell that failed last.
    pub(crate) fn last(&self) -> Option<&Streak> {
        self.0.last()
    }

    /// The most failures in a row on one cell.
    pub(crate) fn longest(&self) -> i64 {
        self.0.iter().map(|streak| streak.failures).max().unwrap_or(0)
    }

    /// Counts a failure.
    pub(super) fn failed(&mut self, event: &NormalizedEvent<'_>) {
        let known = self.0.iter().position(|streak| streak.is_of(event));
        let mut streak = match known {
            Some(at) => self.0.remove(at),
            None => {
                if self.0.len() >= MAX_STREAKS {
                    self.0.remove(0);
                }
                Streak {
                    notebook_path: event.notebook.as_deref().map(Into::into),
                    cell_id: event.cell.as_deref().map(Into::into),
                    cell_index: None,
                    failures: 0,
                    failed_at: event.received,
                }
            }
        };
        streak.failures += 1;
        streak.cell_index = event.cell_index.or(streak.cell_index);
        streak.failed_at = event.received;
        self.0.push(streak);
    }

    /// A success ends the failures of its cell, and of the cells above it in the same notebook: the
    /// student has gone on.
    pub(super) fn succeeded(&mut self, event: &NormalizedEvent<'_>) {
        self.0.retain(|streak| !streak.is_of(event) && !streak.is_above(event));
    }

    /// The bytes that they hold on the heap.
    pub(in crate::state) fn heap(&self) -> usize {
        let texts = |streak: &Streak| {
            let texts = [&streak.notebook_path, &streak.cell_id].into_iter().flatten();
            texts.map(|text| text_bytes(text)).sum::<usize>()
        };
        self.0.iter().map(texts).sum::<usize>() + self.0.len() * size_of::<Streak>()
    }
}

impl Streak {
    fn is_of(&self, event: &NormalizedEvent<'_>) -> bool {
        self.cell_id.as_deref() == event.cell.as_deref()
            && self.notebook_path.as_deref() == event.notebook.as_deref()
    }

    fn is_above(&self, event: &NormalizedEvent<'_>) -> bool {
        self.notebook_path.as_deref() == event.notebook.as_deref()
            && self.cell_index.zip(event.cell_index).is_some_and(|(cell, run)| cell < run)
    }
}
