//! Frames on their way to the peer, in order.
//!
//! **What a stalled subscriber costs.** A frame in an outbox holds memory: its text is shared, but
//! keeps the log's chunk alive for as long as the outbox has it. So when a socket has taken nothing
//! for a while, the session drops the frames of which no byte was written yet, and sets its cursor
//! back to where the peer will stand once it has the frames that stay. Once the peer goes on, the
//! log (or the table) gives the dropped events once more. Two kinds of frames always stay: the
//! first, since some of its bytes may have been written, and a reset with all before it, since
//! nothing else would tell the peer of its gap. Without this rule a thousand stalled dashboards
//! would hold the whole log several times over.

use std::collections::VecDeque;

use super::messages::FrameKind;
use crate::event::Cursor;

/// Room that an empty outbox keeps; the room that a burst needed is given back.
const IDLE_CAPACITY: usize = 4;

/// Frames that wait to be taken by the peer, as the transport writes them.
#[derive(Debug)]
pub(in crate::http) struct Outbox<T> {
    items: VecDeque<Item<T>>,
    /// The peer's cursor, by the frames that were given to the kernel.
    given: Option<Cursor>,
}

#[derive(Debug)]
struct Item<T> {
    frame: T,
    /// The frame's kind, and the peer's cursor after this frame; `None` for a frame of the
    /// protocol, such as a pong of WebSocket's.
    meaning: Option<(FrameKind, Cursor)>,
}

/// The frames that were dropped unsent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Dropped {
    /// The peer's cursor after the frames that stay; `None` if it was never given a frame.
    pub(in crate::http) cursor: Option<Cursor>,
    pub(in crate::http) live: bool,
    pub(in crate::http) mark: bool,
    pub(in crate::http) pong: bool,
}

impl<T> Outbox<T> {
    pub(in crate::http) fn new() -> Self {
        Self { items: VecDeque::new(), given: None }
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Appends a frame. After it the peer's cursor is `cursor`.
    pub(in crate::http) fn push(&mut self, frame: T, kind: FrameKind, cursor: Cursor) {
        self.items.push_back(Item { frame, meaning: Some((kind, cursor)) });
    }

    /// Puts a frame of the protocol at `index`.
    pub(in crate::http) fn insert(&mut self, index: usize, frame: T) {
        self.items.insert(index, Item { frame, meaning: None });
    }

    pub(in crate::http) fn front(&self) -> Option<&T> {
        self.items.front().map(|item| &item.frame)
    }

    pub(in crate::http) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|item| &item.frame)
    }

    /// Removes the first frame: it was given to the kernel.
    pub(in crate::http) fn pop_front(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        if let Some((_, cursor)) = item.meaning {
            self.given = Some(cursor);
        }
        if self.items.is_empty() {
            self.items.shrink_to(IDLE_CAPACITY);
        }
        Some(item.frame)
    }

    /// Drops all but the first `begun` frames.
    pub(in crate::http) fn truncate(&mut self, begun: usize) {
        self.items.truncate(begun);
    }

    /// Drops the frames that can be sent once more. The first frame stays, since the peer may have
    /// begun to take it; so does a reset, with all before it.
    pub(in crate::http) fn drop_unsent(&mut self) -> Dropped {
        let is_reset = |item: &Item<T>| matches!(item.meaning, Some((FrameKind::Reset, _)));
        let kept = self.items.iter().rposition(is_reset).map_or(0, |last| last + 1).max(1);
        let mut dropped = Dropped::default();
        while self.items.len() > kept {
            match self.items.pop_back().and_then(|item| item.meaning) {
                Some((FrameKind::Live, _)) => dropped.live = true,
                Some((FrameKind::Mark, _)) => dropped.mark = true,
                Some((FrameKind::Pong, _)) => dropped.pong = true,
                Some((FrameKind::Events | FrameKind::Reset, _)) | None => {}
            }
        }
        self.items.shrink_to_fit();
        let left = self
            .items
            .iter()
            .rev()
            .find_map(|item| item.meaning.as_ref())
            .map(|(_, cursor)| cursor);
        dropped.cursor = left.or(self.given.as_ref()).cloned();
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Epoch;

    fn at(id: i64) -> Cursor {
        Cursor { epoch: Epoch::new("e"), id }
    }

    fn ids(outbox: &Outbox<i64>) -> Vec<i64> {
        outbox.iter().copied().collect()
    }

    #[test]
    fn frames_that_can_be_sent_once_more_are_dropped() {
        let mut outbox = Outbox::new();
        assert_eq!(outbox.drop_unsent(), Dropped::default());
        outbox.push(1, FrameKind::Reset, at(1));
        outbox.push(2, FrameKind::Events, at(5));
        outbox.push(3, FrameKind::Live, at(5));
        outbox.push(4, FrameKind::Pong, at(5));
        assert_eq!(
            outbox.drop_unsent(),
            Dropped { cursor: Some(at(1)), live: true, mark: false, pong: true }
        );
        assert_eq!(ids(&outbox), [1]);
        assert_eq!(outbox.pop_front(), Some(1));
        outbox.push(5, FrameKind::Events, at(9));
        outbox.push(6, FrameKind::Events, at(12));
        outbox.push(7, FrameKind::Mark, at(12));
        assert_eq!(
            outbox.drop_unsent(),
            Dropped { cursor: Some(at(9)), live: false, mark: true, pong: false }
        );
        assert_eq!(ids(&outbox), [5], "the first stays: it may have been begun");
    }

    #[test]
    fn a_frame_of_the_protocol_does_not_move_the_cursor() {
        let mut outbox = Outbox::new();
        outbox.push(1, FrameKind::Events, at(3));
        outbox.insert(0, 0);
        assert_eq!(
            outbox.drop_unsent().cursor,
            None,
            "nothing was given, and the frame that stays has no cursor"
        );
        assert_eq!(ids(&outbox), [0]);
        outbox.push(1, FrameKind::Events, at(3));
        assert_eq!((outbox.pop_front(), outbox.pop_front()), (Some(0), Some(1)));
        outbox.insert(0, 9);
        assert_eq!(outbox.drop_unsent().cursor, Some(at(3)));
    }
}
