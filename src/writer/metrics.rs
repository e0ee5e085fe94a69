//! The writer's metrics.

use crate::metrics::{Histogram, Registry};

/// The metrics of each statement. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct WriterMetrics {
    /// Events of a statement.
    pub(super) rows: Histogram,
    /// From sending a statement to its answer, which comes after the commit.
    pub(super) duration: Histogram,
}

impl Default for WriterMetrics {
    fn default() -> Self {
        Self { rows: Histogram::of_rows(), duration: Histogram::of_durations() }
    }
}

impl WriterMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.histogram(
            "relay_statement_rows",
            "Events of a statement that was committed, duplicates included.",
            &self.rows,
        );
        registry.histogram(
            "relay_statement_duration_seconds",
            "Time from sending a statement to the news of its commit.",
            &self.duration,
        );
    }
}
