//! Where a session starts, and what it says beside events.

use std::fmt;

use super::{Kind, Outgoing};
use crate::event::{Cursor, Micros};
use crate::tail::Position;

/// Why a subscriber cannot go on from its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum ResetReason {
    /// It is no cursor of a relay's.
    Malformed,
    /// Ids were issued anew since.
    Epoch,
    /// What follows it was pruned.
    Expired,
    /// It lies beyond what the database has ever allocated.
    Ahead,
}

impl fmt::Display for ResetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::Epoch => "epoch",
            Self::Expired => "expired",
            Self::Ahead => "ahead",
        })
    }
}

/// Where a session starts.
#[derive(Debug)]
pub(in crate::http) struct Start {
    /// Events after this are sent.
    pub(in crate::http) cursor: Cursor,
    /// Once the cursor is here, all that was committed before the subscriber came has been sent.
    pub(in crate::http) live_at: i64,
    /// Of how many deletions of events the subscriber knows: of those before it came.
    pub(in crate::http) expiry: u64,
}

impl Start {
    /// For a subscriber that brought `cursor`, or none; `position` was read after its request came.
    pub(in crate::http) fn at(
        cursor: Option<&str>,
        position: Position,
    ) -> (Self, Option<ResetReason>) {
        let (end, expiry) = (position.cursor, position.expiry);
        let live_at = end.id;
        let wrong = match cursor.map(Cursor::parse) {
            None => None,
            Some(None) => Some(ResetReason::Malformed),
            Some(Some(cursor)) if cursor.epoch != end.epoch => Some(ResetReason::Epoch),
            Some(Some(cursor)) if cursor.id < position.pruned => Some(ResetReason::Expired),
            Some(Some(cursor)) if cursor.id > position.sequence.max(end.id) => {
                Some(ResetReason::Ahead)
            }
            Some(Some(cursor)) => return (Self { cursor, live_at, expiry }, None),
        };
        (Self { cursor: end, live_at, expiry }, wrong)
    }
}

/// A frame that says no more than its type and a cursor.
pub(super) fn cursor_frame(kind: Kind, cursor: &Cursor) -> Outgoing {
    let name = kind.name();
    let text = format!("{{\"type\":\"{name}\",\"cursor\":\"{cursor}\"}}");
    Outgoing::Text { text: text.into(), cursor: cursor.clone(), kind }
}

/// The same with the database's clock, by which every age is counted.
pub(super) fn clock_frame(kind: Kind, cursor: &Cursor, now: Micros) -> Outgoing {
    let (name, now) = (kind.name(), now.to_rfc3339());
    let text = format!("{{\"type\":\"{name}\",\"cursor\":\"{cursor}\",\"now\":\"{now}\"}}");
    Outgoing::Text { text: text.into(), cursor: cursor.clone(), kind }
}

pub(super) fn reset_frame(reason: ResetReason, cursor: &Cursor) -> Outgoing {
    let text = format!("{{\"type\":\"reset\",\"reason\":\"{reason}\",\"cursor\":\"{cursor}\"}}");
    Outgoing::Text { text: text.into(), cursor: cursor.clone(), kind: Kind::Reset }
}
