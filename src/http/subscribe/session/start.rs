//! Where a session starts.

use crate::event::Cursor;
use crate::tail::Position;

/// Why a subscriber cannot go on from its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum ResetReason {
    /// The text is no cursor of a relay's.
    Malformed,
    /// Ids were reassigned since the cursor was given out.
    Epoch,
    /// Events that follow the cursor were pruned.
    Expired,
    /// The cursor lies beyond every id that the database has allocated.
    Ahead,
}

impl ResetReason {
    /// As frames and metrics name it.
    pub(in crate::http) fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Epoch => "epoch",
            Self::Expired => "expired",
            Self::Ahead => "ahead",
        }
    }
}

/// Where a session starts.
#[derive(Debug)]
pub(in crate::http) struct Start {
    /// Events after this are sent.
    pub(in crate::http) cursor: Cursor,
    /// Once the cursor is here, all that was committed before the subscriber came has been sent.
    pub(in crate::http) live_at: i64,
    /// The log's count of deletions when the subscriber came: it is told of later ones only.
    pub(in crate::http) expiry: u64,
    /// Why it does not start from the cursor that the subscriber brought, where it does not.
    pub(in crate::http) reset: Option<ResetReason>,
}

impl Start {
    /// For a subscriber that brought `cursor`, or none; `position` was read after its request came.
    pub(in crate::http) fn at(cursor: Option<&str>, position: Position) -> Self {
        let (end, expiry) = (position.cursor, position.expiry);
        let live_at = end.id;
        let reset = match cursor.map(Cursor::parse) {
            None => None,
            Some(None) => Some(ResetReason::Malformed),
            Some(Some(cursor)) if cursor.epoch != end.epoch => Some(ResetReason::Epoch),
            Some(Some(cursor)) if cursor.id < position.pruned => Some(ResetReason::Expired),
            Some(Some(cursor)) if cursor.id > position.sequence.max(end.id) => {
                Some(ResetReason::Ahead)
            }
            Some(Some(cursor)) => {
                return Self { cursor, live_at, expiry, reset: None };
            }
        };
        Self { cursor: end, live_at, expiry, reset }
    }
}
