//! An event as the fold sees it: a few fields, each either usable or absent.
//!
//! [`super::values`] says which values are usable.

use std::borrow::Cow;

use super::names;
use super::settings::Settings;
use super::values::{beginning, integer, message, received, text, time};
use crate::event::{EventId, Micros, StoredEvent, json};

/// The rules of the fold that an event falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    /// A cell was run.
    Run,
    Help,
    HelpStop,
    /// A student did something else.
    Other,
    /// An instructor has come to a raised hand.
    HelpResolved,
    /// An instructor is on the way to a raised hand, or is not any more.
    HelpClaimed,
    LessonStarted,
    SettingsChanged,
    /// An instructor looks at the class. It says nothing about the class.
    Viewing,
    /// Another event of the relay's.
    OfTheRelay,
}

impl EventKind {
    fn of(event_type: Option<&str>) -> Self {
        match event_type {
            Some("cell_executed") => Self::Run,
            Some("help") => Self::Help,
            Some("help_stop") => Self::HelpStop,
            Some("help_resolved") => Self::HelpResolved,
            Some("help_claimed") => Self::HelpClaimed,
            Some("lesson_started") => Self::LessonStarted,
            Some("settings_changed") => Self::SettingsChanged,
            Some("instructor_viewing") => Self::Viewing,
            Some("student_erased" | "class_deleted") => Self::OfTheRelay,
            _ => Self::Other,
        }
    }
}

/// An event as the fold sees it.
#[derive(Debug)]
pub(super) struct NormalizedEvent<'a> {
    pub(super) id: EventId,
    pub(super) student: &'a str,
    /// By the database's clock.
    pub(super) received: Micros,
    /// By the client's clock; by the database's where the client's time is not usable.
    pub(super) time: Micros,
    pub(super) kind: EventKind,
    pub(super) event_type: Option<Cow<'a, str>>,
    pub(super) user_name: Option<Cow<'a, str>>,
    pub(super) team_name: Option<Cow<'a, str>>,
    pub(super) session: Option<Cow<'a, str>>,
    pub(super) notebook: Option<Cow<'a, str>>,
    pub(super) cell: Option<Cow<'a, str>>,
    pub(super) cell_index: Option<i64>,
    pub(super) execution_count: Option<i64>,
    pub(super) failed: bool,
    /// The first line of a failed run's error.
    pub(super) message: Option<String>,
    /// The beginning of what a `help` says.
    pub(super) help_message: Option<String>,
    /// Whether a `help` stays until its `help_stop`.
    pub(super) until_stop: bool,
    /// Whether the client has not been told who its student is.
    pub(super) unconfigured: bool,
    /// Whoever claims a hand; none if the claim is taken back.
    pub(super) claimed_by: Option<Cow<'a, str>>,
    /// The title of a lesson.
    pub(super) title: Option<Cow<'a, str>>,
    /// Settings, as JSON.
    pub(super) settings: Option<&'a str>,
    /// The event whose settings these replace; none if they replace any.
    pub(super) replaces: Option<EventId>,
}

/// The fields that more than one rule looks at.
#[derive(Default)]
struct Fields<'a> {
    cell_type: Option<Cow<'a, str>>,
    cell_id: Option<Cow<'a, str>>,
    notebook: Option<Cow<'a, str>>,
    error: Option<&'a str>,
    message: Option<&'a str>,
    actor: Option<Cow<'a, str>>,
    by: Option<Cow<'a, str>>,
    is_released: bool,
}

impl<'a> NormalizedEvent<'a> {
    /// The event, by the rules and the settings of its class.
    pub(super) fn of(event: &StoredEvent<'a>, settings: &Settings) -> Self {
        let received = received(event.received_at);
        let mut this = Self {
            id: EventId(event.id),
            student: event.student,
            received,
            time: received,
            kind: EventKind::Other,
            event_type: None,
            user_name: None,
            team_name: None,
            session: None,
            notebook: None,
            cell: None,
            cell_index: None,
            execution_count: None,
            failed: false,
            message: None,
            help_message: None,
            until_stop: false,
            unconfigured: false,
            claimed_by: None,
            title: None,
            settings: None,
            replaces: None,
        };
        let mut fields = Fields::default();
        // Of a key that comes twice, the last counts, as in JavaScript.
        for (key, value) in json::members(event.body) {
            this.take(&key, value, &mut fields);
        }
        this.notebook =
            fields.notebook.and_then(|path| names::notebook(path, settings.notebooks_by));
        this.cell = names::cell(fields.cell_id, this.cell_index, settings.cells_by);
        this.kind = EventKind::of(this.event_type.as_deref());
        // Clients report aborted, empty and markdown cells too.
        if this.kind == EventKind::Run
            && let Some(cell_type) = fields.cell_type
            && !(cell_type == "code" && (this.execution_count.is_some() || this.failed))
        {
            this.kind = EventKind::Other;
        }
        if this.kind == EventKind::Run && this.failed {
            this.message = fields.error.and_then(message);
        }
        if this.kind == EventKind::Help {
            this.help_message = fields.message.and_then(beginning);
        }
        if !fields.is_released {
            this.claimed_by = fields.by.or(fields.actor);
        }
        this
    }

    fn take(&mut self, key: &str, value: &'a str, fields: &mut Fields<'a>) {
        match key {
            "eventType" => self.event_type = text(value),
            "eventTime" => self.time = time(value).unwrap_or(self.received),
            "userName" => self.user_name = text(value),
            "teamName" => self.team_name = text(value),
            "sessionId" => self.session = text(value),
            "notebookPath" => fields.notebook = text(value),
            "cellId" => fields.cell_id = text(value),
            "cellType" => fields.cell_type = text(value),
            "cellIndex" => self.cell_index = integer(value),
            "executionCount" => self.execution_count = integer(value),
            "hasError" => self.failed = value == "true",
            "errorMessage" => fields.error = Some(value),
            "message" => fields.message = Some(value),
            "until" => self.until_stop = text(value).as_deref() == Some("help_stop"),
            "unconfigured" => self.unconfigured = value == "true",
            "actor" => fields.actor = text(value),
            "by" => fields.by = text(value),
            "released" => fields.is_released = value == "true",
            "title" => self.title = text(value),
            "settings" => self.settings = Some(value),
            "replaces" => self.replaces = integer(value).map(EventId),
            _ => {}
        }
    }

    /// When the event happened, as far as can be told: a client's clock that is ahead is not
    /// believed.
    pub(super) fn moment(&self) -> Micros {
        self.time.min(self.received)
    }
}

/// Whether an event is a run of a cell.
pub(crate) fn is_run(event: &StoredEvent<'_>) -> bool {
    // The settings say by which name a cell is known, and not what a run is.
    NormalizedEvent::of(event, &Settings::default()).kind == EventKind::Run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_a_code_cell_that_ran() {
        for (members, expected) in [
            (r#""eventType":"cell_executed""#, true),
            (r#""eventType":"cell_executed","cellType":"code","executionCount":1"#, true),
            (r#""eventType":"cell_executed","cellType":"code","hasError":true"#, true),
            (r#""eventType":"cell_executed","cellType":"code","hasError":false"#, false),
            (r#""eventType":"cell_executed","cellType":"markdown","executionCount":1"#, false),
            (r#""eventType":"help""#, false),
        ] {
            let body = format!("{{{members}}}");
            let (id, received_at) = (1, Micros(0));
            let event = StoredEvent { id, class: "c", student: "s", received_at, body: &body };
            assert_eq!(is_run(&event), expected, "{members}");
        }
    }
}
