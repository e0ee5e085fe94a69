//! Parsing one event: it is checked field by field, and its body is written in the form in which it
//! is stored.

use uuid::Uuid;

use super::dialects::{self, Foreign};
use super::fields::{
    Fault, FieldKind, Fields, MAX_NAME_BYTES, boolean, cut_name, fault, kind_of, name_of, rounded,
    text_of,
};
use super::micros::Micros;
use super::names::{ClassId, IdError, StudentId};
use super::{json, moment};

/// The longest `eventType`, in characters.
const MAX_TYPE_CHARS: usize = 64;
/// Event types that only the relay itself may store.
const RESERVED_TYPES: &[&str] = &[
    "help_resolved",
    "help_claimed",
    "lesson_started",
    "settings_changed",
    "student_erased",
    "class_deleted",
    "instructor_viewing",
];
/// Whether only the relay itself may store events of this type: they are no student's doing.
pub(crate) fn is_made_by_relay(event_type: &str) -> bool {
    RESERVED_TYPES.contains(&event_type)
}

/// Members that only the relay writes, into the body or on delivery. A client's are dropped.
const RESERVED_MEMBERS: &[&str] =
    &["id", "classId", "studentId", "receivedAt", "truncated", "unconfigured"];
/// The end of a body that is marked. No other body ends so: a client's member of that name is
/// dropped, and within a value more than one brace would follow.
const UNCONFIGURED_END: &str = ",\"unconfigured\":true}";
/// Names that a known client sends for every student until it is configured.
const PLACEHOLDERS: &[&str] = &["student001@example.com"];
/// The field at fault of an event that names no student.
const NAMELESS: &str = "studentId";
/// The most characters of an unknown field's name that a rejection repeats.
const SHOWN_NAME_CHARS: usize = 64;

/// An event that passed every check, ready to be stored.
#[derive(Debug, Clone)]
pub struct Event {
    /// The client's id of the event. With the student and the time it is the key by which an event
    /// that is sent twice is stored once.
    pub event_id: Uuid,
    /// The class that the event belongs to.
    pub class: ClassId,
    /// The student whose event it is.
    pub student: StudentId,
    /// The moment by the client's clock.
    pub occurred_at: Micros,
    /// The event serialised once more: one JSON object, without the members that the relay adds on
    /// delivery.
    pub body: String,
}

impl Event {
    /// Makes it the event of `student`, whom the credential names whatever the body says. That
    /// student's client is told apart by its credential, so the mark of an unconfigured one goes.
    pub(crate) fn bind(&mut self, student: StudentId) {
        self.student = student;
        if let Some(members) = self.body.strip_suffix(UNCONFIGURED_END) {
            self.body.truncate(members.len());
            self.body.push('}');
        }
    }

    /// The bytes that the event takes in the writer's queue.
    pub(crate) fn weight(&self) -> usize {
        self.body.len() + self.student.as_str().len() + std::mem::size_of::<Self>()
    }
}

/// Reads one event from `text`, a valid JSON value. `None` if it is of another client, and says
/// nothing that is stored.
///
/// # Errors
/// The first field at fault.
pub(super) fn parse_event(
    text: &str,
    url_class: Option<&str>,
    max_field: usize,
) -> Result<Option<Event>, Fault> {
    if !text.starts_with('{') {
        return Err((None, "an event must be a JSON object".to_owned()));
    }
    let fields = Fields::read(text);
    match foreign(text, &fields) {
        None => parse_own(&fields, url_class, max_field).map(Some),
        Some(Foreign::Ignored) => Ok(None),
        Some(Foreign::Event { text, no_student }) => {
            let fields = Fields::read(&text);
            let event = parse_own(&fields, url_class, max_field);
            event.map(Some).map_err(|(field, reason)| match field.as_deref() {
                Some(NAMELESS) => fault(NAMELESS, no_student),
                _ => (field, reason),
            })
        }
    }
}

/// The event that a body of another client becomes. Every event of the relay's own has an id and a
/// type, and pays nothing for the others.
fn foreign(text: &str, fields: &Fields<'_>) -> Option<Foreign> {
    let is_own = fields.has("eventId") || fields.has("eventType");
    if is_own { None } else { dialects::translate(text) }
}

fn parse_own(
    fields: &Fields<'_>,
    url_class: Option<&str>,
    max_field: usize,
) -> Result<Event, Fault> {
    let id_text = fields.required("eventId")?;
    let event_id = Uuid::try_parse(&id_text).map_err(|_| fault("eventId", "must be a UUID"))?;

    let event_type = fields.required("eventType")?;
    if event_type.is_empty() || event_type.chars().nth(MAX_TYPE_CHARS).is_some() {
        return Err(fault("eventType", format!("must have 1 to {MAX_TYPE_CHARS} characters")));
    }
    if is_made_by_relay(&event_type) {
        return Err(fault("eventType", format!("{event_type} is made by the relay alone")));
    }

    let time_text = fields.required("eventTime")?;
    let (occurred_at, event_time) =
        moment::parse(&time_text).map_err(|reason| fault("eventTime", reason))?;

    let (student, is_unconfigured) = student(fields)?;
    let class = class(fields, url_class)?;
    let body = body(fields, &event_time, is_unconfigured, max_field)?;
    Ok(Event { event_id, class, student, occurred_at, body })
}

/// The class that a rejected event named; the default class if it named none, or none that is
/// valid. `text` is a valid JSON value.
pub(super) fn class_of(text: &str, url_class: Option<&str>) -> ClassId {
    let fields = Fields::read(text);
    let class = match foreign(text, &fields) {
        Some(Foreign::Event { text, .. }) => class(&Fields::read(&text), url_class),
        _ => class(&fields, url_class),
    };
    class.or_else(|_| class_of_url(url_class)).unwrap_or_default()
}

/// The student: the first of the three names that is not empty. Also whether that name is a
/// client's placeholder.
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
        // Every client that was not configured sends this name. The sessions tell them apart.
        let session = fields.text("sessionId")?.unwrap_or_default();
        return Ok((student.in_session(&session), true));
    }
    Err(fault(
        NAMELESS,
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

/// The class of the request's URL, or the default class.
fn class_of_url(url_class: Option<&str>) -> Result<ClassId, Fault> {
    match url_class.map(ClassId::new) {
        None | Some(Err(IdError::Empty)) => Ok(ClassId::default()),
        Some(class) => class
            .map_err(|error| fault("classId", format!("of the request's URL (?class=) {error}"))),
    }
}

/// Serialises the event once more, in the form in which it is stored.
fn body(
    fields: &Fields<'_>,
    event_time: &str,
    is_unconfigured: bool,
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
        let is_cut = match kind {
            Some(FieldKind::Identity) if key == "eventTime" => {
                json::write_string(event_time, &mut out);
                false
            }
            Some(kind) => write_known(kind, key, value, max_field, &mut out)?,
            None => {
                write_unknown(key, value, &mut out)?;
                false
            }
        };
        if is_cut {
            truncated.push(&**key);
        }
    }
    if !truncated.is_empty() {
        out.push_str(",\"truncated\":[\"");
        out.push_str(&truncated.join("\",\""));
        out.push_str("\"]");
    }
    out.push_str(if is_unconfigured { UNCONFIGURED_END } else { "}" });
    Ok(out)
}

/// Appends the value of a field that has a rule. Returns whether its text was cut.
fn write_known(
    kind: FieldKind,
    key: &str,
    value: &str,
    max_field: usize,
    out: &mut String,
) -> Result<bool, Fault> {
    match kind {
        FieldKind::Identity => json::write_string(&json::decode(value), out),
        FieldKind::Person | FieldKind::Name | FieldKind::Path | FieldKind::Key => {
            let text = match kind {
                FieldKind::Person => name_of(key, value)?,
                _ => text_of(key, value)?,
            };
            if text.len() > MAX_NAME_BYTES {
                json::write_string(&cut_name(&text, kind), out);
                return Ok(true);
            }
            json::write_string(&text, out);
        }
        FieldKind::Long => {
            let text = text_of(key, value)?;
            json::write_string(&text[..text.floor_char_boundary(max_field)], out);
            return Ok(text.len() > max_field);
        }
        FieldKind::Integer => match value.parse::<i64>() {
            Ok(0) => out.push('0'),
            Ok(_) => out.push_str(value),
            Err(_) => {
                let number = rounded(value).ok_or_else(|| fault(key, "must be a number"))?;
                out.push_str(&number.to_string());
            }
        },
        FieldKind::Boolean => {
            let is_true = boolean(value).ok_or_else(|| fault(key, "must be true or false"))?;
            out.push_str(if is_true { "true" } else { "false" });
        }
    }
    Ok(false)
}

/// Appends the value of a field that has no rule.
fn write_unknown(key: &str, value: &str, out: &mut String) -> Result<(), Fault> {
    json::canonical(value, out).map_err(|json::TooDeep| {
        let name: String = key.chars().take(SHOWN_NAME_CHARS).collect();
        fault(&name, format!("is nested more than {} levels deep", json::MAX_DEPTH))
    })
}
