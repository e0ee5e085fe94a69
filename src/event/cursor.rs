//! Cursors: a subscriber's position in the log.

use std::fmt;
use std::sync::Arc;

/// The name of one generation of ids. When ids are reassigned, the epoch changes: an id of another
/// epoch may name another event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch(Arc<str>);

/// The digits of the nonce, with which an epoch begins. The timeline follows.
const NONCE_DIGITS: usize = 12;

/// The longest text that is accepted as an epoch: 12 digits of nonce, 8 of timeline, and a margin.
const MAX_EPOCH_BYTES: usize = 64;

impl Epoch {
    /// An epoch from the database.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The timeline of the WAL in which the ids were written; every promotion raises it. `None` if
    /// the epoch has no timeline.
    pub(crate) fn timeline(&self) -> Option<u32> {
        self.0.get(NONCE_DIGITS..).and_then(|digits| u32::from_str_radix(digits, 16).ok())
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `<epoch>.<id>`: the subscriber has seen every event up to and including `id`. Clients must not
/// interpret it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The generation of ids that `id` belongs to.
    pub epoch: Epoch,
    /// The last id that was seen; 0 before the first event.
    pub id: i64,
}

impl Cursor {
    /// Parses a cursor that a client has kept; `None` if the text is no cursor.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, id) = text.split_once('.')?;
        let known = !epoch.is_empty()
            && epoch.len() <= MAX_EPOCH_BYTES
            && epoch.bytes().all(|b| b.is_ascii_alphanumeric());
        // i64's from_str would accept a sign.
        let digits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
        if !known || !digits {
            return None;
        }
        Some(Self { epoch: Epoch::new(epoch), id: id.parse().ok()? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_is_written_can_be_parsed() {
        let cursor = Cursor { epoch: Epoch::new("0a1b2c3d4e5f1"), id: 42 };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
    }

    #[test]
    fn an_epoch_ends_with_a_timeline() {
        let epoch = Epoch::new("0a1b2c3d4e5f1A");
        assert_eq!(epoch.timeline(), Some(26));
        assert_eq!(Epoch::new("none").timeline(), None);
    }

    #[test]
    fn a_text_that_is_no_cursor_is_refused() {
        for text in [
            "",
            ".",
            "a",
            "a.",
            ".1",
            "a.-1",
            "a.+1",
            "a.1.2",
            "a b.1",
            "é.1",
            "a.9223372036854775808",
        ] {
            assert_eq!(Cursor::parse(text), None, "{text:?}");
        }
    }
}
