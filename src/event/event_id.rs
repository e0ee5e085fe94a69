//! The place of an event in the log.

use std::fmt;

/// An event's id. The database gives ids out in the order of the commits, so of two events the one
/// with the smaller id was committed first. An id means something only within its
/// [epoch](super::Epoch).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EventId(pub i64);

impl EventId {
    /// Before the first event: the database gives out ids from 1.
    pub const NONE: Self = Self(0);
    /// No event has a greater id.
    pub(crate) const MAX: Self = Self(i64::MAX);
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
