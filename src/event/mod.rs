//! Events, and the names they go by. Everything here is checked once, at the edge: a [`ClassId`] or
//! an [`Event`] that exists is within its bounds, and nothing inside looks again.

mod batch;
mod cursor;
pub mod json;
mod moment;
mod object;
mod parse;
mod stored;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use uuid::Uuid;

pub use batch::{Batch, BodyError, Limits, parse_body};
pub use cursor::{Cursor, Epoch};
pub use object::ObjectWriter;
pub use parse::{COUNTED_FIELDS, Rejection};
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

/// A text without the blanks around it, in Unicode's form NFC: "é" typed on one system and on
/// another is one name.
fn normalized(text: &str) -> Result<Cow<'_, str>, IdError> {
    /// NFC makes a text at most three times shorter. What is longer than this is too long in any
    /// case, and is not worth the work.
    const MAX_RAW_BYTES: usize = 4 * MAX_ID_BYTES;
    let text = text.trim();
    if text.len() > MAX_RAW_BYTES {
        return Err(IdError::TooLong);
    }
    if text.is_ascii()
        || text.chars().all(is_nfc_alone)
        || is_nfc_quick(text.chars()) == IsNormalized::Yes
    {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(text.nfc().collect()))
}

/// Whether any text of such characters alone is in NFC. It spares most names a look into Unicode's
/// tables: Latin, kana, Chinese characters, Hangul.
fn is_nfc_alone(c: char) -> bool {
    matches!(c, '\0'..='\u{2ff}' | 'ぁ'..='ゖ' | 'ァ'..='ヺ' | '\u{4e00}'..='\u{9fff}' | '가'..='힣')
}

/// A class: 1 to [`MAX_ID_BYTES`] bytes without control characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(Arc<str>);

impl ClassId {
    /// Takes `text` without the blanks around it, in NFC; case is kept.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let text = normalized(text)?;
        check_id(&text).map(|()| Self(text.into()))
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

    /// Takes `text` as a client names a student: beside [`Self::new`], in NFC, and in lower case if
    /// it is an e-mail address, so that one person under two spellings is one student.
    pub(crate) fn of_client(text: &str) -> Result<Self, IdError> {
        let mut text = normalized(text)?;
        if text.bytes().any(|byte| !byte.is_ascii() || byte.is_ascii_uppercase()) && is_email(&text)
        {
            text = Cow::Owned(text.to_lowercase().nfc().collect());
        }
        check_id(&text).map(|()| Self(text.into()))
    }

    /// The student of this name in one session: `<id>#<session>`. Without a session it stays the
    /// same.
    pub(crate) fn in_session(self, session: &str) -> Self {
        if session.trim().is_empty() {
            return self;
        }
        let id = self.as_str();
        let named = normalized(session).map(|session| format!("{id}#{session}"));
        Self(match named {
            Ok(named) if check_id(&named).is_ok() => named.into(),
            // Too long, or not fit for an id: its fingerprint still tells it from others.
            _ => format!("{id}#{:016x}", json::fingerprint(session)).into(),
        })
    }

    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether it is of the form `name@host`.
fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(name, host)| {
        !name.is_empty()
            && !host.is_empty()
            && !host.contains('@')
            && !text.contains(char::is_whitespace)
    })
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

    /// RFC 3339 in UTC, with six digits of the second. A moment outside the years 1 to 9999 (only a
    /// hand-made row has one) is clamped to them.
    pub fn to_rfc3339(self) -> String {
        const FORMAT: &[BorrowedFormatItem<'_>] = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
        );
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
    /// The event serialised once more: one JSON object, without the members that the relay adds on
    /// delivery.
    pub body: String,
}

impl Event {
    /// What it weighs in the writer's queue, in bytes.
    pub fn weight(&self) -> usize {
        self.body.len() + self.student.as_str().len() + std::mem::size_of::<Self>()
    }
}

#[cfg(test)]
mod tests;
