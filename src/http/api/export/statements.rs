//! xAPI statements, as the Experience API 1.0.3 has them: what learning record stores take.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use super::members::Members;
use crate::event::{ObjectWriter, StoredEvent, json};
use crate::state::is_run;

/// Names the statements: the id of an event's statement is derived from this and from what
/// identifies the event, so that a store takes an event once however often it is exported.
const STATEMENTS: Uuid = Uuid::from_u128(0x6f1c_2b0e_6d0a_5c7e_9b1f_3a52_8d4e_7c11);
/// Characters that stay in a part of a URN.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The prefix of the identifiers of this project's own.
const URN: &str = "urn:progress-relay";
/// Bytes of a statement beside an event's body: the class, the student and the home page, which
/// come several times, and the vocabulary.
pub(super) const STATEMENT_BYTES: usize = 16 * 1024;

/// Verbs by the type of the event. Any other type is a student's interaction with the notebook, and
/// an extension names it.
const VERBS: [(&str, &str, &str); 6] = [
    ("cell_executed", "http://adlnet.gov/expapi/verbs/attempted", "attempted"),
    ("notebook_opened", "http://activitystrea.ms/schema/1.0/open", "opened"),
    ("notebook_saved", "http://activitystrea.ms/schema/1.0/save", "saved"),
    ("notebook_closed", "http://activitystrea.ms/schema/1.0/close", "closed"),
    ("help", "http://adlnet.gov/expapi/verbs/asked", "asked"),
    ("help_stop", "http://activitystrea.ms/schema/1.0/cancel", "cancelled"),
];
const INTERACTED: (&str, &str, &str) =
    ("", "http://adlnet.gov/expapi/verbs/interacted", "interacted");
/// Members of an event that become extensions of the result and of the context.
const RESULT_EXTENSIONS: [&str; 5] =
    ["executionCount", "executionDurationMs", "code", "errorMessage", "truncated"];
const CONTEXT_EXTENSIONS: [&str; 4] = ["eventType", "cellIndex", "cellType", "unconfigured"];

/// Writes statements.
#[derive(Debug)]
pub(super) struct Statements {
    /// The system in which the students have their accounts.
    home_page: String,
}

impl Statements {
    /// Writes statements about accounts of `home_page`, a URL.
    pub(super) fn new(home_page: String) -> Self {
        Self { home_page }
    }

    /// Writes the statement of an event, without a line feed. Returns false if the event has none.
    pub(super) fn write(&self, event: &StoredEvent<'_>, out: &mut String) -> bool {
        let members = Members::of(event);
        if members.is_act() {
            return false;
        }
        let (is_run, event_type) = (is_run(event), members.text("eventType"));
        let verb = VERBS.iter().find(|(name, ..)| Some(*name) == event_type.as_deref());
        // A cell that was aborted, or holds text, was not attempted.
        let verb = verb.filter(|(name, ..)| is_run || *name != VERBS[0].0).unwrap_or(&INTERACTED);
        let mut statement = ObjectWriter::begin(out);
        statement.text("id", &id_of(event, &members).to_string());
        statement.nested("actor", |actor| {
            self.account(actor, "Agent", event.student, members.text("userName").as_deref());
        });
        statement.nested("verb", |object| {
            object.text("id", verb.1);
            object.nested("display", |display| display.text("en", verb.2));
        });
        statement.nested("object", |object| Activity::of(event.class, &members).write(object));
        if is_run {
            statement.nested("result", |result| write_result(result, &members));
        }
        statement.nested("context", |context| self.write_context(context, event, &members));
        let time = members.event_time().unwrap_or(event.received_at);
        statement.time("timestamp", time.in_years());
        statement.end();
        true
    }

    /// A student, or a group of students.
    fn account(
        &self,
        actor: &mut ObjectWriter<'_>,
        object_type: &str,
        id: &str,
        name: Option<&str>,
    ) {
        actor.text("objectType", object_type);
        actor.opt_text("name", name);
        actor.nested("account", |account| {
            account.text("homePage", &self.home_page);
            account.text("name", id);
        });
    }

    fn write_context(
        &self,
        context: &mut ObjectWriter<'_>,
        event: &StoredEvent<'_>,
        members: &Members<'_>,
    ) {
        // The session of most clients is a UUID; another text is an extension.
        let session = members.text("sessionId");
        let registration = session.as_deref().and_then(|id| Uuid::try_parse(id).ok());
        let registration = registration.filter(|id| id.get_variant() == uuid::Variant::RFC4122);
        if let Some(id) = registration {
            context.text("registration", &id.to_string());
        }
        if let Some(team) = members.text("teamName") {
            let id = format!("{}/{team}", event.class);
            context.nested("team", |group| self.account(group, "Group", &id, Some(&team)));
        }
        context.text("platform", "Jupyter");
        context.nested("contextActivities", |activities| {
            if members.cell().is_some() {
                let notebook = Activity::notebook(event.class, members);
                activities.objects("parent", [notebook], |object, notebook| notebook.write(object));
            }
            let class = Activity::class(event.class);
            activities.objects("grouping", [class], |object, class| class.write(object));
        });
        context.nested("extensions", |object| {
            write_extensions(object, members, &CONTEXT_EXTENSIONS);
            if let Some(session) = session.filter(|_| registration.is_none()) {
                object.text(&extension("sessionId"), &session);
            }
        });
    }
}

/// The id of an event's statement. The event's own id is unique with class, student and time only.
fn id_of(event: &StoredEvent<'_>, members: &Members<'_>) -> Uuid {
    let id = members.text("eventId").unwrap_or_else(|| event.id.to_string().into());
    let time = members.text("eventTime").unwrap_or_default();
    let name = serde_json::json!([event.class, event.student, time, id.to_ascii_lowercase()]);
    Uuid::new_v5(&STATEMENTS, name.to_string().as_bytes())
}

/// How a run ended.
fn write_result(result: &mut ObjectWriter<'_>, members: &Members<'_>) {
    result.json("success", members.value("hasError") != Some("true"));
    let response = members.text("result").or_else(|| members.text("errorMessage"));
    result.opt_text("response", response.as_deref());
    result.nested("extensions", |object| write_extensions(object, members, &RESULT_EXTENSIONS));
}

fn extension(name: &str) -> String {
    format!("{URN}:extension:{name}")
}

/// Writes the members of these names that the event has, under names that are IRIs.
fn write_extensions(object: &mut ObjectWriter<'_>, members: &Members<'_>, names: &[&str]) {
    for name in names {
        let Some(value) = members.value(name) else { continue };
        let mut text = String::with_capacity(value.len());
        // Another program may have inserted a value that is nested too deep to be written.
        if json::canonical(value, &mut text).is_ok() {
            object.json(&extension(name), text);
        }
    }
}

/// A cell, a notebook or a class, as xAPI names it.
struct Activity {
    id: String,
    kind: &'static str,
    name: String,
}

impl Activity {
    /// The activity that an event is about: the smallest thing that it names.
    fn of(class: &str, members: &Members<'_>) -> Self {
        let Some(cell) = members.cell() else { return Self::notebook(class, members) };
        let path = members.text("notebookPath").unwrap_or_default();
        let id = format!("{URN}:cell:{}:{}:{}", part(class), part(&path), part(&cell));
        Self {
            id,
            kind: "http://adlnet.gov/expapi/activities/interaction",
            name: cell.into_owned(),
        }
    }

    /// The notebook that an event names; the class if it names none.
    fn notebook(class: &str, members: &Members<'_>) -> Self {
        let Some(path) = members.text("notebookPath") else { return Self::class(class) };
        let id = format!("{URN}:notebook:{}:{}", part(class), part(&path));
        Self { id, kind: "http://adlnet.gov/expapi/activities/file", name: path.into_owned() }
    }

    fn class(class: &str) -> Self {
        let id = format!("{URN}:class:{}", part(class));
        Self { id, kind: "http://adlnet.gov/expapi/activities/course", name: class.to_owned() }
    }

    fn write(&self, object: &mut ObjectWriter<'_>) {
        object.text("objectType", "Activity");
        object.text("id", &self.id);
        object.nested("definition", |definition| {
            definition.text("type", self.kind);
            definition.nested("name", |name| name.text("und", &self.name));
        });
    }
}

/// A part of a URN: without the colons that separate the parts.
fn part(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, PART)
}
