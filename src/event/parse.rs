//! One event: every field's rule, and the body that is stored.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Serialize;
use uuid::Uuid;

use super::{ClassId, Event, IdError, StudentId, json, moment};

/// Longest name, path or id in bytes; what is longer is cut, and named in `truncated`.
const MAX_NAME_BYTES: usize = 1024;
/// Longest `eventType` in characters.
const MAX_TYPE_CHARS: usize = 64;
/// Event types that only the relay makes.
const RESERVED_TYPES: &[&str] = &[
    "help_resolved",
    "help_claimed",
    "lesson_started",
    "settings_changed",
    "student_erased",
    "class_deleted",
];
/// Members that the relay adds on delivery, or makes itself: never a client's.
const RESERVED_MEMBERS: &[&str] =
    &["id", "classId", "studentId", "receivedAt", "truncated", "placeholder"];
/// What a known client sends as every student's address until someone configures it.
const PLACEHOLDERS: &[&str] = &["student001@example.com"];
/// How much of an unknown field's name is repeated in a rejection, in characters.
const SHOWN_NAME_CHARS: usize = 64;

/// Why one event of a request was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Where it stood in the request; 0 for a lone object.
    pub index: usize,
    /// The field at fault; absent when it is the event as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong with it, for a person.
    pub reason: String,
    /// The class that it would have belonged to, for whoever counts rejections.
    #[serde(skip)]
    pub class: ClassId,
}

/// The fields that have a rule, and `body` for a request that is refused as a whole: the labels by
/// which rejections are counted. Any other field is counted as `other`.
pub const COUNTED_FIELDS: &[&str] = &[
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

/// The field at fault, if it is one, and why.
pub(super) type Fault = (Option<String>, String);

fn fault(field: &str, reason: impl Into<String>) -> Fault {
    (Some(field.to_owned()), reason.into())
}

/// What a known field must be. Whatever is not listed is kept as it is.
#[derive(Clone, Copy)]
enum Kind {
    /// Looked at on its own, and text by then.
    Identity,
    /// A name of the student: text or a number, never several texts. For display it is cut at
    /// [`MAX_NAME_BYTES`]; where it names the student, [`StudentId`] has the rule.
    Person,
    /// Text for display, cut at [`MAX_NAME_BYTES`].
    Name,
    /// Text whose end says most, cut in front.
    Path,
    /// Text that tells things apart: cut so that two different ones stay different.
    Key,
    /// Text that is cut at `--max-field`.
    Long,
    Integer,
    Boolean,
}

fn kind_of(key: &str) -> Option<Kind> {
    Some(match key {
        "eventId" | "eventType" | "eventTime" | "studentId" | "classId" => Kind::Identity,
        "emailAddress" | "userId" => Kind::Person,
        "userName" | "teamName" | "cellType" => Kind::Name,
        "notebookPath" => Kind::Path,
        "sessionId" | "cellId" => Kind::Key,
        "code" | "errorMessage" | "result" => Kind::Long,
        "cellIndex" | "executionCount" | "executionDurationMs" => Kind::Integer,
        "hasError" => Kind::Boolean,
        _ => return None,
    })
}

/// The members of an event; of a key that comes twice, the last.
struct Fields<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Self {
        let mut members: Vec<(Cow<'a, str>, &'a str)> = Vec::with_capacity(20);
        // Linear over a handful, a map beyond: an object of a million keys is a peer's right to
        // send.
        const FEW: usize = 32;
        let mut positions: HashMap<Cow<'a, str>, usize> = HashMap::new();
        for (key, value) in json::members(text) {
            // Nobody could read such a number: JavaScript makes Infinity of it, other parsers an
            // error.
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

    /// The value of a field that is present and not null.
    fn value(&self, key: &str) -> Option<&'a str> {
        self.members
            .iter()
            .find(|(name, value)| name == key && *value != "null")
            .map(|(_, value)| *value)
    }

    /// A field that must be there, and be a string.
    fn required(&self, key: &str) -> Result<Cow<'a, str>, Fault> {
        match self.value(key) {
            None => Err(fault(key, "is required")),
            Some(value) if value.starts_with('"') => Ok(json::decode(value)),
            Some(_) => Err(fault(key, "must be a string")),
        }
    }

    /// A field that names something: a string, or a number, which is its text.
    fn name(&self, key: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        self.value(key).map(|value| name_of(key, value)).transpose()
    }

    /// A field that is text, in any of its forms.
    fn text(&self, key: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        self.value(key).map(|value| text_of(key, value)).transpose()
    }
}

/// Reads one event out of `text`, a valid JSON value.
pub(super) fn parse_event(
    text: &str,
    url_class: Option<&str>,
    max_field: usize,
) -> Result<Event, Fault> {
    if !text.starts_with('{') {
        return Err((None, "an event must be a JSON object".to_owned()));
    }
    let fields = Fields::read(text);

    let id_text = fields.required("eventId")?;
    let event_id = Uuid::try_parse(&id_text).map_err(|_| fault("eventId", "must be a UUID"))?;

    let event_type = fields.required("eventType")?;
    if event_type.is_empty() || event_type.chars().nth(MAX_TYPE_CHARS).is_some() {
        return Err(fault("eventType", format!("must have 1 to {MAX_TYPE_CHARS} characters")));
    }
    if RESERVED_TYPES.contains(&&*event_type) {
        return Err(fault("eventType", format!("{event_type} is made by the relay alone")));
    }

    let time_text = fields.required("eventTime")?;
    let (occurred_at, event_time) =
        moment::parse(&time_text).map_err(|reason| fault("eventTime", reason))?;

    let (student, is_placeholder) = student(&fields)?;
    let class = class(&fields, url_class)?;
    let body = body(&fields, &event_time, is_placeholder, max_field)?;
    Ok(Event { event_id, class, student, occurred_at, body })
}

/// The class that `text`, a valid JSON value, would have belonged to had it been a good event; what
/// names no class counts for the default one.
pub(super) fn class_of(text: &str, url_class: Option<&str>) -> ClassId {
    class(&Fields::read(text), url_class).or_else(|_| class_of_url(url_class)).unwrap_or_default()
}

/// The first of the three names that is not empty, and whether it is a client's placeholder.
fn student(fields: &Fields<'_>) -> Result<(StudentId, bool), Fault> {
    for key in ["studentId", "emailAddress", "userId"] {
        let Some(text) = fields.name(key)? else { continue };
        let student = match StudentId::of_client(&text) {
            Ok(student) => student,
            Err(IdError::Empty) => continue,
            Err(error) => return Err(fault(key, error.to_string())),
        };
        if !PLACEHOLDERS.contains(&student.as_str()) {
            return Ok((student, false));
        }
        // Everyone who was not configured has this name. Their sessions tell them apart.
        let session = fields.text("sessionId")?.unwrap_or_default();
        return Ok((student.in_session(&session), true));
    }
    Err(fault(
        "studentId",
        "is required: neither studentId nor emailAddress nor userId names the student",
    ))
}

fn class(fields: &Fields<'_>, url_class: Option<&str>) -> Result<ClassId, Fault> {
    if let Some(text) = fields.name("classId")? {
        match ClassId::new(&text) {
            Err(IdError::Empty) => {}
            class => return class.map_err(|error| fault("classId", error.to_string())),
        }
    }
    class_of_url(url_class)
}

/// The class of the request's URL, or the default one.
fn class_of_url(url_class: Option<&str>) -> Result<ClassId, Fault> {
    match url_class.map(ClassId::new) {
        None | Some(Err(IdError::Empty)) => Ok(ClassId::default()),
        Some(class) => class
            .map_err(|error| fault("classId", format!("of the request's URL (?class=) {error}"))),
    }
}

/// The event serialised once more, as it is stored.
fn body(
    fields: &Fields<'_>,
    event_time: &str,
    is_placeholder: bool,
    max_field: usize,
) -> Result<String, Fault> {
    let mut out = String::with_capacity(512);
    out.push('{');
    let mut truncated = Vec::new();
    for (key, value) in &fields.members {
        if RESERVED_MEMBERS.contains(&&**key) {
            continue;
        }
        let kind = kind_of(key);
        if kind.is_some() && *value == "null" {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        json::write_string(key, &mut out);
        out.push(':');
        match kind {
            Some(Kind::Identity) if key == "eventTime" => json::write_string(event_time, &mut out),
            Some(Kind::Identity) => json::write_string(&json::decode(value), &mut out),
            Some(kind @ (Kind::Person | Kind::Name | Kind::Path | Kind::Key)) => {
                let text = match kind {
                    Kind::Person => name_of(key, value)?,
                    _ => text_of(key, value)?,
                };
                if text.len() <= MAX_NAME_BYTES {
                    json::write_string(&text, &mut out);
                } else {
                    truncated.push(&**key);
                    json::write_string(&cut_name(&text, kind), &mut out);
                }
            }
            Some(Kind::Long) => {
                let text = text_of(key, value)?;
                if text.len() > max_field {
                    truncated.push(&**key);
                }
                json::write_string(&text[..text.floor_char_boundary(max_field)], &mut out);
            }
            Some(Kind::Integer) => match value.parse::<i64>() {
                Ok(0) => out.push('0'),
                Ok(_) => out.push_str(value),
                Err(_) => out.push_str(
                    &rounded(value).ok_or_else(|| fault(key, "must be a number"))?.to_string(),
                ),
            },
            Some(Kind::Boolean) => {
                let is_true = boolean(value).ok_or_else(|| fault(key, "must be true or false"))?;
                out.push_str(if is_true { "true" } else { "false" });
            }
            None => json::canonical(value, &mut out).map_err(|json::TooDeep| {
                let name: String = key.chars().take(SHOWN_NAME_CHARS).collect();
                fault(&name, format!("is nested more than {} levels deep", json::MAX_DEPTH))
            })?,
        }
    }
    if !truncated.is_empty() {
        out.push_str(",\"truncated\":[\"");
        out.push_str(&truncated.join("\",\""));
        out.push_str("\"]");
    }
    if is_placeholder {
        out.push_str(",\"placeholder\":true");
    }
    out.push('}');
    Ok(out)
}

/// A value that names something: a string, or a number, which is its text.
fn name_of<'a>(key: &str, value: &'a str) -> Result<Cow<'a, str>, Fault> {
    match value.as_bytes() {
        [b'"', ..] => Ok(json::decode(value)),
        [b'-' | b'0'..=b'9', ..] => Ok(Cow::Borrowed(value)),
        _ => Err(fault(key, "must be a string")),
    }
}

/// A value that is text: a string, a number, or an array of strings, which are joined as in a
/// notebook's file, where each line has its own line feed.
fn text_of<'a>(key: &str, value: &'a str) -> Result<Cow<'a, str>, Fault> {
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

/// A name that is too long, at most [`MAX_NAME_BYTES`] of it.
fn cut_name(text: &str, kind: Kind) -> Cow<'_, str> {
    match kind {
        // A file's name is at its path's end. Two notebooks of one deep folder differ only there.
        Kind::Path => Cow::Borrowed(&text[text.ceil_char_boundary(text.len() - MAX_NAME_BYTES)..]),
        Kind::Key => {
            let mark = format!("#{:016x}", json::fingerprint(text));
            let begin = &text[..text.floor_char_boundary(MAX_NAME_BYTES - mark.len())];
            Cow::Owned(format!("{begin}{mark}"))
        }
        _ => Cow::Borrowed(&text[..text.floor_char_boundary(MAX_NAME_BYTES)]),
    }
}

/// A number that is no integer of 64 bits as it stands: the nearest one, at the range's end if it
/// lies beyond. Halves are rounded away from zero.
fn rounded(value: &str) -> Option<i64> {
    // A float is cast to the nearest integer that there is.
    number(value).map(|number| number.round() as i64)
}

fn boolean(value: &str) -> Option<bool> {
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

/// A JSON number. `str::parse` alone would take `nan` and `inf` as well, which no valid JSON value
/// is.
fn number(value: &str) -> Option<f64> {
    value
        .starts_with(|first: char| first == '-' || first.is_ascii_digit())
        .then(|| value.parse().ok())?
}
