//! The metrics of requests and subscribers; docs/metrics.md says what each means.

use crate::metrics::{Counter, CounterBy, Histogram, Registry};

/// The causes of a 503, by the problem's name.
const CAUSES: &[&str] = &[
    "queue-full",
    "not-committed-in-time",
    "not-stored",
    "too-many-large-bodies",
    "too-many-large-answers",
    "too-many-connections",
    "going-away",
    "rate-limited",
    "no-memory-for-classes",
    "not-readable-now",
    "sign-in-unavailable",
];

/// The reasons of a reset.
const REASONS: &[&str] = &["malformed", "epoch", "expired", "ahead"];

/// The metrics of requests and subscribers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct HttpMetrics {
    pub(super) accepted: Counter,
    pub(super) duplicates: Counter,
    pub(super) unavailable: CounterBy,
    pub(super) resets: CounterBy,
    pub(super) post_duration: Histogram,
    pub(super) commit_to_socket: Histogram,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            accepted: Counter::default(),
            duplicates: Counter::default(),
            unavailable: CounterBy::new("cause", CAUSES),
            resets: CounterBy::new("reason", REASONS),
            post_duration: Histogram::of_durations(),
            commit_to_socket: Histogram::of_durations(),
        }
    }
}

impl HttpMetrics {
    /// Registers them.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.counter(
            "relay_accepted_events_total",
            "Events that this replica stored.",
            &self.accepted,
        );
        registry.counter(
            "relay_duplicate_events_total",
            "Events that were stored already when they were sent again.",
            &self.duplicates,
        );
        registry.counter_by(
            "relay_unavailable_answers_total",
            "Answers with status 503, by their problem's name.",
            &self.unavailable,
        );
        registry.counter_by(
            "relay_resets_total",
            "Resets of subscribers, by reason.",
            &self.resets,
        );
        registry.histogram(
            "relay_post_duration_seconds",
            "Time from a POST's headers to its answer, whatever its status.",
            &self.post_duration,
        );
        registry.histogram(
            "relay_commit_to_socket_seconds",
            "Time from an event's receivedAt to its frame in the kernel.",
            &self.commit_to_socket,
        );
    }
}
