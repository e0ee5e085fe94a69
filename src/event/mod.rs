//! Events, and the names they go by. Everything here is checked once, at the edge: a [`ClassId`] or an
//! [`Event`] that exists is within its bounds, and nothing inside looks again.

mod batch;
mod cursor;
pub mod json;
mod parse;
mod stored;

use std::fmt;
use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use uuid::Uuid;

pub use batch::{Batch, BodyError, Limits, parse_body};
pub use cursor::{Cursor, Epoch};
pub use parse::Rejection;
pub use stored::StoredEvent;

/// The class of an event that names none, on either side of the relay.
pub const DEFAULT_CLASS: &str = "default";

/// Longest class or student id, in bytes. A B-tree entry holds 2,704 bytes, and both stand in one.
pub const MAX_ID_BYTES: usize = 200;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// Over [`MAX_ID_BYTES`].
    #[error("is longer than {MAX_ID_BYTES} bytes")]
    TooLong,
    /// U+0000 to U+001F, U+007F to U+009F.
    #[error("contains a control character")]
    Control,
}

fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        Err(IdError::Empty)
    } else if text.len() > MAX_ID_BYTES {
        Err(IdError::TooLong)
    } else if text.chars().any(char::is_control) {
        Err(IdError::Control)
    } else {
        Ok(())
    }
}

/// A class: 1 to [`MAX_ID_BYTES`] bytes without control characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(Arc<str>);

impl ClassId {
    /// Takes `text` as it is, case and blanks kept.
    pub fn new(text: &str) -> Result<Self, IdError> {
        check_id(text).map(|()| Self(text.into()))
    }

    /// A class as the database has it, which checks the same bounds.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ClassId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Default for ClassId {
    fn default() -> Self {
        Self(DEFAULT_CLASS.into())
    }
}

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A student: 1 to [`MAX_ID_BYTES`] bytes without control characters, trimmed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StudentId(Box<str>);

impl StudentId {
    /// Takes `text` without the blanks around it.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let text = text.trim();
        check_id(text).map(|()| Self(text.into()))
    }

    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A moment in microseconds since 1970-01-01T00:00:00Z: PostgreSQL's resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Micros(pub i64);

impl Micros {
    /// Clamped to the years 1 to 9999, which can be written.
    pub fn in_years(self) -> Self {
        const YEAR_1: i64 = -62_135_596_800_000_000;
        const YEAR_9999: i64 = 253_402_300_799_999_999;
        Self(self.0.clamp(YEAR_1, YEAR_9999))
    }

    /// RFC 3339 in UTC, with six digits of the second. A moment outside the years 1 to 9999 (only a hand-made
    /// row has one) is clamped to them.
    pub fn to_rfc3339(self) -> String {
        const FORMAT: &[BorrowedFormatItem<'_>] =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
        let nanos = i128::from(self.in_years().0) * 1_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|moment| moment.format(FORMAT).ok())
            .unwrap_or_default()
    }
}

/// An event that passed every check, ready to be stored.
#[derive(Debug, Clone)]
pub struct Event {
    /// With the student and the time, the key of idempotency.
    pub event_id: Uuid,
    /// The class it belongs to.
    pub class: ClassId,
    /// Who did it.
    pub student: StudentId,
    /// The client's clock.
    pub occurred_at: Micros,
    /// The event serialised once more: one JSON object, without the members that the relay adds on delivery.
    pub body: String,
}

impl Event {
    /// What it weighs in the writer's queue, in bytes.
    pub fn weight(&self) -> usize {
        self.body.len() + self.student.as_str().len() + std::mem::size_of::<Self>()
    }
}
