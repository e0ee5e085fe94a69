//! The frames that a session makes itself. (The log makes those of events, which all subscribers
//! share.)

use super::messages::{FrameKind, Outgoing};
use super::start::ResetReason;
use crate::event::{Cursor, Micros, ObjectWriter};

/// All that was committed before the subscriber came has been sent.
pub(super) fn live(cursor: &Cursor, now: Micros) -> Outgoing {
    frame(FrameKind::Live, cursor, |object| object.text("now", &now.to_rfc3339()))
}

/// Complete up to here; `now` is the database's clock, by which every age is counted.
pub(super) fn mark(cursor: &Cursor, now: Micros) -> Outgoing {
    frame(FrameKind::Mark, cursor, |object| object.text("now", &now.to_rfc3339()))
}

/// The answer to a ping.
pub(super) fn pong(cursor: &Cursor) -> Outgoing {
    frame(FrameKind::Pong, cursor, |_| {})
}

/// The session goes on from `cursor` instead of from the subscriber's cursor.
pub(super) fn reset(reason: ResetReason, cursor: &Cursor) -> Outgoing {
    let text = ObjectWriter::object(|object| {
        object.text("type", "reset");
        object.text("reason", reason.name());
        object.text("cursor", &cursor.to_string());
    });
    Outgoing::Text { text: text.into(), cursor: cursor.clone(), kind: FrameKind::Reset }
}

fn frame(kind: FrameKind, cursor: &Cursor, more: impl FnOnce(&mut ObjectWriter<'_>)) -> Outgoing {
    let name = match kind {
        FrameKind::Events => "progress",
        FrameKind::Live => "live",
        FrameKind::Mark => "mark",
        FrameKind::Pong => "pong",
        FrameKind::Reset => "reset",
    };
    let text = ObjectWriter::object(|object| {
        object.text("type", name);
        object.text("cursor", &cursor.to_string());
        more(object);
    });
    Outgoing::Text { text: text.into(), cursor: cursor.clone(), kind }
}
