//! The ids of classes and students. An id is checked once, where it enters the relay: a [`ClassId`]
//! or a [`StudentId`] that exists is within its bounds.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::fingerprint::fingerprint;

/// The class of an event, and of a subscriber, that names none.
const DEFAULT_CLASS: &str = "default";

/// The student of an event that is about the class itself. No client and no credential has this
/// name: as a student's it would be given the class's settings, with the roster's names.
const THE_CLASS: &str = "@class";

/// The longest class or student id, in bytes. An entry of a B-tree holds at most 2,704 bytes, and
/// the primary key has both ids in one entry.
pub(super) const MAX_ID_BYTES: usize = 200;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text is longer than [`MAX_ID_BYTES`].
    #[error("is longer than {MAX_ID_BYTES} bytes")]
    TooLong,
    /// The text has a character of U+0000 to U+001F or U+007F to U+009F.
    #[error("contains a control character")]
    Control,
    /// The text is the relay's own name for a class among its students.
    #[error("is the relay's name for the class itself")]
    TheClass,
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

/// Trims `text` and brings it into Unicode's form NFC. Systems write "é" as one code point or as
/// two; without NFC one name would be two.
fn normalized(text: &str) -> Result<Cow<'_, str>, IdError> {
    /// NFC makes a text at most three times shorter. A text that is longer than this is too long in
    /// any case, and is not normalised.
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

/// Whether every text that consists of such characters is in NFC. For most names (Latin, kana,
/// Chinese characters, Hangul) this avoids a look into Unicode's tables.
fn is_nfc_alone(c: char) -> bool {
    matches!(c, '\0'..='\u{2ff}' | 'ぁ'..='ゖ' | 'ァ'..='ヺ' | '\u{4e00}'..='\u{9fff}' | '가'..='힣')
}

/// A class: 1 to [`MAX_ID_BYTES`] bytes without control characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(Arc<str>);

impl ClassId {
    /// Trims `text` and brings it into NFC. Upper and lower case stay.
    ///
    /// # Errors
    /// If the result is no id.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let text = normalized(text)?;
        check_id(&text).map(|()| Self(text.into()))
    }

    /// A class from the database, whose constraints check the same bounds.
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
    /// Trims `text`.
    ///
    /// # Errors
    /// If the result is no id.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let text = text.trim();
        check_id(text).map(|()| Self(text.into()))
    }

    /// Reads `text` as a client names a student: trimmed, in NFC, and in lower case if it is an
    /// e-mail address, so that one person with two spellings is one student.
    ///
    /// # Errors
    /// If the result is no id, or no student's.
    pub(crate) fn of_client(text: &str) -> Result<Self, IdError> {
        let mut text = normalized(text)?;
        if text.bytes().any(|byte| !byte.is_ascii() || byte.is_ascii_uppercase()) && is_email(&text)
        {
            text = Cow::Owned(text.to_lowercase().nfc().collect());
        }
        if text == THE_CLASS {
            return Err(IdError::TheClass);
        }
        check_id(&text).map(|()| Self(text.into()))
    }

    /// The student of an event that is about the class itself.
    pub(crate) fn the_class() -> Self {
        Self(THE_CLASS.into())
    }

    /// Whether a stored event of this student is about the class itself.
    pub(crate) fn is_the_class(student: &str) -> bool {
        student == THE_CLASS
    }

    /// The student of this name in one session: `<id>#<session>`. Without a session the id stays
    /// as it is.
    pub(crate) fn in_session(self, session: &str) -> Self {
        if session.trim().is_empty() {
            return self;
        }
        let id = self.as_str();
        let named = normalized(session).map(|session| format!("{id}#{session}"));
        Self(match named {
            Ok(named) if check_id(&named).is_ok() => named.into(),
            // The session is too long, or no part of an id: its fingerprint tells it from others.
            _ => format!("{id}#{:016x}", fingerprint(session)).into(),
        })
    }

    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` has the form `name@host`.
fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(name, host)| {
        !name.is_empty()
            && !host.is_empty()
            && !host.contains('@')
            && !text.contains(char::is_whitespace)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_are_nfc_alone_agree_with_unicodes_tables() {
        let alone: Vec<char> =
            (0..=0x10_ffff).filter_map(char::from_u32).filter(|c| is_nfc_alone(*c)).collect();
        assert!(alone.len() > 30_000);
        for &c in &alone {
            assert_eq!(is_nfc_quick([c].into_iter()), IsNormalized::Yes, "{c:?}");
            assert_eq!(unicode_normalization::char::canonical_combining_class(c), 0, "{c:?}");
        }
        let text: String = alone.iter().collect();
        assert_eq!(text.nfc().collect::<String>(), text);
    }
}
