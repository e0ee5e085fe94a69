//! Cursors: where a subscriber stands in the log.

use std::fmt;
use std::sync::Arc;

/// Names one issue of ids: when it changes, an id may mean another event than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch(Arc<str>);

/// Digits of the nonce, with which an epoch begins; the timeline follows.
const NONCE_DIGITS: usize = 12;

/// Longest epoch that is taken for one: 12 digits of nonce, 8 of timeline, and room to grow.
const MAX_EPOCH_BYTES: usize = 64;

impl Epoch {
    /// The epoch as the database gives it.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The timeline of the WAL that the ids were written to, which every promotion raises; `None`
    /// where the epoch has none.
    pub fn timeline(&self) -> Option<u32> {
        self.0.get(NONCE_DIGITS..).and_then(|digits| u32::from_str_radix(digits, 16).ok())
    }

    /// The stored part, by which snapshots are stamped.
    pub fn nonce(&self) -> &str {
        self.0.get(..NONCE_DIGITS).unwrap_or(&self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `<epoch>.<id>`: everything up to and with `id` has been seen. Opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The issue of ids that `id` belongs to.
    pub epoch: Epoch,
    /// The last id seen; 0 before the first.
    pub id: i64,
}

impl Cursor {
    /// Reads what a client kept. `None` when it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, id) = text.split_once('.')?;
        let known = !epoch.is_empty()
            && epoch.len() <= MAX_EPOCH_BYTES
            && epoch.bytes().all(|b| b.is_ascii_alphanumeric());
        // from_str would take a sign.
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
    fn what_is_written_is_read() {
        let cursor = Cursor { epoch: Epoch::new("0a1b2c3d4e5f1"), id: 42 };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
    }

    #[test]
    fn an_epoch_is_a_nonce_and_a_timeline() {
        let epoch = Epoch::new("0a1b2c3d4e5f1A");
        assert_eq!((epoch.nonce(), epoch.timeline()), ("0a1b2c3d4e5f", Some(26)));
        assert_eq!((Epoch::new("none").nonce(), Epoch::new("none").timeline()), ("none", None));
    }

    #[test]
    fn what_is_not_a_cursor_is_none() {
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
