//! Frames on their way to the peer.

use std::collections::VecDeque;

use crate::event::Cursor;

/// Room that an empty outbox keeps; a burst's is given back.
const IDLE_CAPACITY: usize = 4;

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
    /// Where the peer stands once it has it; none if it says nothing of that.
    cursor: Option<Cursor>,
    /// Whether it can be made again from the cursor before.
    repeatable: bool,
}

impl<T> Outbox<T> {
    pub(in crate::http) fn new() -> Self {
        Self { items: VecDeque::new(), given: None }
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Appends a frame after which the peer stands at `cursor`; `repeatable` if the log gives it again.
    pub(in crate::http) fn push(&mut self, what: T, cursor: Cursor, repeatable: bool) {
        self.items.push_back(Item { what, cursor: Some(cursor), repeatable });
    }

    /// Puts something of the protocol's own at `index`.
    pub(in crate::http) fn insert(&mut self, index: usize, what: T) {
        self.items.insert(index, Item { what, cursor: None, repeatable: false });
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
        if item.cursor.is_some() {
            self.given = item.cursor;
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

    /// Forgets what can be made again, of the end of what waits; the first stays, since the peer may have begun to take it.
    /// Returns how far the rest goes, `None` if nothing was ever given and nothing is left.
    pub(in crate::http) fn shed(&mut self) -> Option<Cursor> {
        let kept = self.items.iter().rposition(|item| !item.repeatable).map_or(0, |last| last + 1);
        self.items.truncate(kept.max(1));
        self.items.shrink_to_fit();
        self.items.iter().rev().find_map(|item| item.cursor.clone()).or_else(|| self.given.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Epoch;

    fn at(id: i64) -> Cursor {
        Cursor { epoch: Epoch::new("e"), id }
    }

    #[test]
    fn only_what_can_be_made_again_is_forgotten() {
        let mut outbox = Outbox::new();
        assert_eq!(outbox.shed(), None);
        outbox.push("events", at(1), true);
        outbox.push("live", at(1), false);
        outbox.push("events", at(5), true);
        outbox.push("events", at(9), true);
        assert_eq!(outbox.shed(), Some(at(1)));
        assert_eq!(outbox.iter().copied().collect::<Vec<_>>(), ["events", "live"]);
        outbox.push("events", at(5), true);
        while outbox.pop_front().is_some() {}
        outbox.push("events", at(9), true);
        outbox.push("events", at(12), true);
        assert_eq!(outbox.shed(), Some(at(9)), "the first stays");
        assert_eq!(outbox.pop_front(), Some("events"));
        assert_eq!(outbox.shed(), Some(at(9)), "what was given counts");
        assert!(outbox.is_empty());
    }
}
