//! The fields of an event: their rules, and how a field's value is read.

use std::borrow::Cow;
use std::collections::HashMap;

use super::fingerprint::fingerprint;
use super::json;

/// The longest name, path or id in a body, in bytes. A longer one is cut, and its field is listed
/// in `truncated`.
pub(super) const MAX_NAME_BYTES: usize = 1024;

/// The fields by which rejections are counted: every field that has a rule, `body` for a request
/// that is refused as a whole, and `other` for any other field.
pub(crate) const COUNTED_FIELDS: &[&str] = &[
    "body",
    "eventId",
    "eventType",
    "eventTime",
    "studentId",
    "emailAddress",
    "userId",
    "classId",
    "userName",
    "teamName",
    "sessionId",
    "notebookPath",
    "cellId",
    "cellType",
    "code",
    "errorMessage",
    "result",
    "cellIndex",
    "executionCount",
    "executionDurationMs",
    "hasError",
    "other",
];

/// The field at fault (`None` if the event as a whole is), and the reason.
pub(super) type Fault = (Option<String>, String);

pub(super) fn fault(field: &str, reason: impl Into<String>) -> Fault {
    (Some(field.to_owned()), reason.into())
}

/// The rule of a known field. Any other field is stored unchanged.
#[derive(Clone, Copy)]
pub(super) enum FieldKind {
    /// Part of the event's identity: checked before the body is written, and text by then.
    Identity,
    /// A name of the student: text or a number, but no array of texts. In the body it is cut at
    /// [`MAX_NAME_BYTES`]; as the student's id it has the rule of
    /// [`StudentId`](super::names::StudentId).
    Person,
    /// Text for display, cut at the end to [`MAX_NAME_BYTES`].
    Name,
    /// Text whose end matters most, cut at its beginning.
    Path,
    /// Text that tells things apart: cut so that two different texts stay different.
    Key,
    /// Text that is cut to `--max-field`.
    Long,
    /// A number, rounded to an integer of 64 bits.
    Integer,
    /// `true`, `false`, 1 or 0.
    Boolean,
}

pub(super) fn kind_of(key: &str) -> Option<FieldKind> {
    Some(match key {
        "eventId" | "eventType" | "eventTime" | "studentId" | "classId" => FieldKind::Identity,
        "emailAddress" | "userId" => FieldKind::Person,
        "userName" | "teamName" | "cellType" => FieldKind::Name,
        "notebookPath" => FieldKind::Path,
        "sessionId" | "cellId" => FieldKind::Key,
        "code" | "errorMessage" | "result" => FieldKind::Long,
        "cellIndex" | "executionCount" | "executionDurationMs" => FieldKind::Integer,
        "hasError" => FieldKind::Boolean,
        _ => return None,
    })
}

/// The members of an event. Of a key that occurs twice, the last member counts.
pub(super) struct Fields<'a> {
    pub(super) members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Fields<'a> {
    pub(super) fn read(text: &'a str) -> Self {
        let mut members: Vec<(Cow<'a, str>, &'a str)> = Vec::with_capacity(20);
        // A few members are searched one by one. An object may also have a million keys, for which
        // that would take quadratic time: beyond the limit a map is used.
        const FEW: usize = 32;
        let mut positions: HashMap<Cow<'a, str>, usize> = HashMap::new();
        for (key, value) in json::members(text) {
            let value = if json::is_beyond_double(value) { "null" } else { value };
            let known = if members.len() <= FEW {
                members.iter().position(|(other, _)| *other == key)
            } else {
                if positions.is_empty() {
                    positions
                        .extend(members.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)));
                }
                positions.get(&key).copied()
            };
            match known {
                Some(at) => members[at].1 = value,
                None => {
                    if !positions.is_empty() {
                        positions.insert(key.clone(), members.len());
                    }
                    members.push((key, value));
                }
            }
        }
        Self { members }
    }

    /// Whether a field is present, even if it is null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.members.iter().any(|(name, _)| name == key)
    }

    /// The value of a field that is present and not null.
    fn value(&self, key: &str) -> Option<&'a str> {
        self.members
            .iter()
            .find(|(name, value)| name == key && *value != "null")
            .map(|(_, value)| *value)
    }

    /// The text of a field that must be present and a string.
    pub(super) fn required(&self, key: &str) -> Result<Cow<'a, str>, Fault> {
        match self.value(key) {
            None => Err(fault(key, "is required")),
            Some(value) if value.starts_with('"') => Ok(json::decode(value)),
            Some(_) => Err(fault(key, "must be a string")),
        }
    }

    /// The text of a field that names something: a string or a number.
    pub(super) fn name(&self, key: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        self.value(key).map(|value| name_of(key, value)).transpose()
    }

    /// The text of a field that may be a string, a number or an array of strings.
    pub(super) fn text(&self, key: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        self.value(key).map(|value| text_of(key, value)).transpose()
    }
}

/// The text of a value that names something: a string, or a number as it was written.
pub(super) fn name_of<'a>(key: &str, value: &'a str) -> Result<Cow<'a, str>, Fault> {
    match value.as_bytes() {
        [b'"', ..] => Ok(json::decode(value)),
        [b'-' | b'0'..=b'9', ..] => Ok(Cow::Borrowed(value)),
        _ => Err(fault(key, "must be a string")),
    }
}

/// The text of a value: a string, a number, or an array of strings. The strings are joined as in a
/// notebook's file, in which each line ends with its own line feed.
pub(super) fn text_of<'a>(key: &str, value: &'a str) -> Result<Cow<'a, str>, Fault> {
    if !value.starts_with('[') {
        return name_of(key, value);
    }
    let mut joined = String::new();
    for line in json::elements(value) {
        match line.as_bytes() {
            [b'"', ..] => joined.push_str(&json::decode(line)),
            b"null" => {}
            _ => return Err(fault(key, "must be a string, or an array of strings alone")),
        }
    }
    Ok(Cow::Owned(joined))
}

/// Cuts a text that is too long to at most [`MAX_NAME_BYTES`], by the rule of its kind.
pub(super) fn cut_name(text: &str, kind: FieldKind) -> Cow<'_, str> {
    match kind {
        // The file's name is at the path's end. Two notebooks in one deep folder differ only there.
        FieldKind::Path => {
            Cow::Borrowed(&text[text.ceil_char_boundary(text.len() - MAX_NAME_BYTES)..])
        }
        FieldKind::Key => {
            let mark = format!("#{:016x}", fingerprint(text));
            let begin = &text[..text.floor_char_boundary(MAX_NAME_BYTES - mark.len())];
            Cow::Owned(format!("{begin}{mark}"))
        }
        _ => Cow::Borrowed(&text[..text.floor_char_boundary(MAX_NAME_BYTES)]),
    }
}

/// The integer of 64 bits that is nearest to a number. Halves are rounded away from zero.
pub(super) fn rounded(value: &str) -> Option<i64> {
    // The cast saturates at the ends of the range.
    number(value).map(|number| number.round() as i64)
}

/// A value that is `true`, `false`, 1 or 0.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value {
        "true" => Some(true),
        "false" => Some(false),
        _ => match number(value)? {
            0.0 => Some(false),
            1.0 => Some(true),
            _ => None,
        },
    }
}

/// A JSON number. `str::parse` alone would also accept `nan` and `inf`, which are no JSON.
fn number(value: &str) -> Option<f64> {
    value
        .starts_with(|first: char| first == '-' || first.is_ascii_digit())
        .then(|| value.parse().ok())?
}
