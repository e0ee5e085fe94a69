//! One event: every field's rule, and the body that is stored.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

use super::{ClassId, Event, IdError, Micros, StudentId, json};

/// Longest name, path or id in bytes.
const MAX_NAME_BYTES: usize = 1024;
/// Longest `eventType` in characters.
const MAX_TYPE_CHARS: usize = 64;
/// Event types that only the relay makes.
const RESERVED_TYPES: &[&str] = &["help_resolved"];
/// Members that the relay adds on delivery, or makes itself: never a client's.
const RESERVED_MEMBERS: &[&str] = &["id", "classId", "studentId", "receivedAt", "truncated"];
/// The years that an event's time may lie in, in UTC.
const YEARS: std::ops::RangeInclusive<i32> = 2000..=2100;
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
}

/// The field at fault, if it is one, and why.
pub(super) type Fault = (Option<String>, String);

fn fault(field: &str, reason: impl Into<String>) -> Fault {
    (Some(field.to_owned()), reason.into())
}

/// What a known field must be. Whatever is not listed is kept as it is.
#[derive(Clone, Copy)]
enum Kind {
    /// Looked at on its own.
    Identity,
    /// Text of up to [`MAX_NAME_BYTES`].
    Name,
    /// Text that is cut at `--max-field`.
    Long,
    Integer,
    Boolean,
}

fn kind_of(key: &str) -> Option<Kind> {
    Some(match key {
        "eventId" | "eventType" | "eventTime" | "studentId" | "classId" => Kind::Identity,
        "emailAddress" | "userId" | "userName" | "teamName" | "sessionId" | "notebookPath" | "cellId"
        | "cellType" => Kind::Name,
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
        // Linear over a handful, a map beyond: an object of a million keys is a peer's right to send.
        const FEW: usize = 32;
        let mut positions: HashMap<Cow<'a, str>, usize> = HashMap::new();
        for (key, value) in json::members(text) {
            let known = if members.len() <= FEW {
                members.iter().position(|(other, _)| *other == key)
            } else {
                if positions.is_empty() {
                    positions.extend(members.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)));
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

    /// The field's value as text; `None` when it is absent or null.
    fn text(&self, key: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        match self.members.iter().find(|(name, _)| name == key) {
            None | Some((_, "null")) => Ok(None),
            Some((_, value)) if value.starts_with('"') => Ok(Some(json::decode(value))),
            Some(_) => Err(fault(key, "must be a string")),
        }
    }

    fn required(&self, key: &str) -> Result<Cow<'a, str>, Fault> {
        self.text(key)?.ok_or_else(|| fault(key, "is required"))
    }
}

/// Reads one event out of `text`, a valid JSON value.
pub(super) fn parse_event(text: &str, url_class: Option<&str>, max_field: usize) -> Result<Event, Fault> {
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
    let (occurred_at, event_time) = parse_time(&time_text).map_err(|reason| fault("eventTime", reason))?;

    let student = student(&fields)?;
    let class = class(&fields, url_class)?;
    let body = body(&fields, &event_time, max_field)?;
    Ok(Event { event_id, class, student, occurred_at, body })
}

/// The moment, and how it is written in the body: as it came if that is UTC with at most six digits, else rewritten so.
fn parse_time(text: &str) -> Result<(Micros, Cow<'_, str>), &'static str> {
    const RULE: &str = "must be an RFC 3339 time with an offset, such as 2026-04-01T09:00:00.000Z";
    const RANGE: &str = "must lie in the years 2000 to 2100";
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| RULE)?;
    // In UTC the last hours of 9999 can be in a year that the type does not have.
    let moment = moment.checked_to_offset(UtcOffset::UTC).ok_or(RANGE)?;
    if !YEARS.contains(&moment.year()) {
        return Err(RANGE);
    }
    let micros = i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000)).map_err(|_| RULE)?;
    // "2026-04-01T09:00:00.123456Z" has 27 bytes.
    let written = if text.len() <= 27
        && text.ends_with('Z')
        && text.as_bytes().get(10) == Some(&b'T')
        && !text.contains(":60")
    {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(Micros(micros).to_rfc3339())
    };
    Ok((Micros(micros), written))
}

/// The first of the three names that is not empty.
fn student(fields: &Fields<'_>) -> Result<StudentId, Fault> {
    for key in ["studentId", "emailAddress", "userId"] {
        let Some(text) = fields.text(key)? else { continue };
        match StudentId::new(&text) {
            Ok(student) => return Ok(student),
            Err(IdError::Empty) => {}
            Err(error) => return Err(fault(key, error.to_string())),
        }
    }
    Err(fault("studentId", "is required: neither studentId nor emailAddress nor userId names the student"))
}

fn class(fields: &Fields<'_>, url_class: Option<&str>) -> Result<ClassId, Fault> {
    if let Some(text) = fields.text("classId")? {
        return ClassId::new(&text).map_err(|error| fault("classId", error.to_string()));
    }
    match url_class {
        Some(text) => ClassId::new(text)
            .map_err(|error| fault("classId", format!("of the request's URL (?class=) {error}"))),
        None => Ok(ClassId::default()),
    }
}

/// The event serialised once more, as it is stored.
fn body(fields: &Fields<'_>, event_time: &str, max_field: usize) -> Result<String, Fault> {
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
            Some(Kind::Name) => {
                let text = text_of(key, value)?;
                if text.len() > MAX_NAME_BYTES {
                    return Err(fault(key, format!("is longer than {MAX_NAME_BYTES} bytes")));
                }
                json::write_string(&text, &mut out);
            }
            Some(Kind::Long) => {
                let text = text_of(key, value)?;
                if text.len() > max_field {
                    truncated.push(&**key);
                }
                json::write_string(&text[..text.floor_char_boundary(max_field)], &mut out);
            }
            Some(Kind::Integer) => {
                value.parse::<i64>().map_err(|_| fault(key, "must be an integer of 64 bits"))?;
                out.push_str(value);
            }
            Some(Kind::Boolean) => {
                if !matches!(*value, "true" | "false") {
                    return Err(fault(key, "must be true or false"));
                }
                out.push_str(value);
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
    out.push('}');
    Ok(out)
}

fn text_of<'a>(key: &str, value: &'a str) -> Result<Cow<'a, str>, Fault> {
    if value.starts_with('"') { Ok(json::decode(value)) } else { Err(fault(key, "must be a string")) }
}
