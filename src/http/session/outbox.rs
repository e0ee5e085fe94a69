//! Frames on their way to the peer.

use std::collections::VecDeque;

use crate::event::Cursor;

/// Room that an empty outbox keeps; a burst's is given back.
const IDLE_CAPACITY: usize = 4;

/// What a frame says. All but a reset can be said again, from the cursor before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Kind {
    /// Events, which the log gives again.
    Events,
    /// `live`
    Live,
    /// `mark`
    Mark,
    /// `pong`
    Pong,
    /// `reset`: it must be said, or the gap would be silent.
    Reset,
}

impl Kind {
    /// A frame's `type`. (Of events, `log` writes it, into the frames that all share.)
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Events => "progress",
            Self::Live => "live",
            Self::Mark => "mark",
            Self::Pong => "pong",
            Self::Reset => "reset",
        }
    }
}

/// What waits to be taken, in order, as the transport has it.
#[derive(Debug)]
pub(in crate::http) struct Outbox<T> {
    items: VecDeque<Item<T>>,
    /// How far the peer has been given everything.
    given: Option<Cursor>,
}

#[derive(Debug)]
struct Item<T> {
    what: T,
    /// What it says, and where the peer stands once it has it; none for what is the protocol's own.
    says: Option<(Kind, Cursor)>,
}

/// What was forgotten.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Shed {
    /// How far the peer will have everything; `None` if it was never given anything.
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

    /// Appends a frame after which the peer stands at `cursor`.
    pub(in crate::http) fn push(&mut self, what: T, kind: Kind, cursor: Cursor) {
        self.items.push_back(Item { what, says: Some((kind, cursor)) });
    }

    /// Puts something of the protocol's own at `index`.
    pub(in crate::http) fn insert(&mut self, index: usize, what: T) {
        self.items.insert(index, Item { what, says: None });
    }

    pub(in crate::http) fn front(&self) -> Option<&T> {
        self.items.front().map(|item| &item.what)
    }

    pub(in crate::http) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|item| &item.what)
    }

    /// Takes the first: it has been given.
    pub(in crate::http) fn pop_front(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        if let Some((_, cursor)) = item.says {
            self.given = Some(cursor);
        }
        if self.items.is_empty() {
            self.items.shrink_to(IDLE_CAPACITY);
        }
        Some(item.what)
    }

    /// Forgets all but the first `begun`.
    pub(in crate::http) fn truncate(&mut self, begun: usize) {
        self.items.truncate(begun);
    }

    /// Forgets what can be said again. The first stays, since the peer may have begun to take it;
    /// so does a reset, and what is before it.
    pub(in crate::http) fn shed(&mut self) -> Shed {
        let is_reset = |item: &Item<T>| matches!(item.says, Some((Kind::Reset, _)));
        let kept = self.items.iter().rposition(is_reset).map_or(0, |last| last + 1).max(1);
        let mut shed = Shed::default();
        while self.items.len() > kept {
            match self.items.pop_back().and_then(|item| item.says) {
                Some((Kind::Live, _)) => shed.live = true,
                Some((Kind::Mark, _)) => shed.mark = true,
                Some((Kind::Pong, _)) => shed.pong = true,
                Some((Kind::Events | Kind::Reset, _)) | None => {}
            }
        }
        self.items.shrink_to_fit();
        let left =
            self.items.iter().rev().find_map(|item| item.says.as_ref()).map(|(_, cursor)| cursor);
        shed.cursor = left.or(self.given.as_ref()).cloned();
        shed
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
    fn what_can_be_said_again_is_forgotten() {
        let mut outbox = Outbox::new();
        assert_eq!(outbox.shed(), Shed::default());
        outbox.push(1, Kind::Reset, at(1));
        outbox.push(2, Kind::Events, at(5));
        outbox.push(3, Kind::Live, at(5));
        outbox.push(4, Kind::Pong, at(5));
        assert_eq!(
            outbox.shed(),
            Shed { cursor: Some(at(1)), live: true, mark: false, pong: true }
        );
        assert_eq!(ids(&outbox), [1]);
        assert_eq!(outbox.pop_front(), Some(1));
        outbox.push(5, Kind::Events, at(9));
        outbox.push(6, Kind::Events, at(12));
        outbox.push(7, Kind::Mark, at(12));
        assert_eq!(
            outbox.shed(),
            Shed { cursor: Some(at(9)), live: false, mark: true, pong: false }
        );
        assert_eq!(ids(&outbox), [5], "the first stays: it may have been begun");
    }

    #[test]
    fn what_is_the_protocol_s_own_says_nothing_of_the_cursor() {
        let mut outbox = Outbox::new();
        outbox.push(1, Kind::Events, at(3));
        outbox.insert(0, 0);
        assert_eq!(outbox.shed().cursor, None, "nothing was given, and what is left says nothing");
        assert_eq!(ids(&outbox), [0]);
        outbox.push(1, Kind::Events, at(3));
        assert_eq!((outbox.pop_front(), outbox.pop_front()), (Some(0), Some(1)));
        outbox.insert(0, 9);
        assert_eq!(outbox.shed().cursor, Some(at(3)));
    }
}
