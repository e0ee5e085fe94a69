//! `GET /api/class/events`: the events themselves, newest first.

use std::ops::ControlFlow;
use std::sync::Arc;

use http::HeaderMap;
use warp::reply::Response;

use super::outcome::Outcome;
use super::request::ApiRequest;
use crate::event::{ClassId, EventId, ObjectWriter, StoredEvent, StudentId, json};
use crate::http::budget::{self, Reservation};
use crate::http::problem::Problem;
use crate::http::representation::Representation;
use crate::state::Settings;

/// Events of one answer, unless asked otherwise, and at most.
const DEFAULT_EVENTS: i64 = 100;
const MAX_EVENTS: i64 = 1_000;
/// Bytes of events after which an answer ends: one event may hold megabytes.
const MAX_BYTES: usize = 4 << 20;
/// Bytes that an event is written with beside its body: its names and ids, at their longest.
const EVENT_BYTES: usize = 4096;
/// Events looked through for those of a notebook; an answer may be short, or empty, and still have
/// a `next`.
const MAX_LOOKED_AT: usize = 5_000;

/// An answer as it grows: events, and what is to be asked for next.
struct Events {
    out: String,
    taken: usize,
    limit: usize,
    /// The last event that was looked at.
    last: i64,
    /// Before which id the next answer begins, if there is more.
    next: Option<i64>,
    room: Reservation,
    is_full: bool,
}

impl Events {
    fn new(limit: usize, before: i64, room: Reservation) -> Self {
        let out = String::from("[");
        Self { out, taken: 0, limit, last: before, next: None, room, is_full: false }
    }

    /// Takes an event, if `fits` says so and there is room.
    fn take(&mut self, event: &StoredEvent<'_>, fits: bool) -> ControlFlow<()> {
        if self.taken == self.limit || self.out.len() > MAX_BYTES {
            self.next = Some(self.last);
            return ControlFlow::Break(());
        }
        if fits {
            if !self.room.grow(self.out.len() + event.body.len() + EVENT_BYTES) {
                // The client asks for the rest by `next`.
                self.is_full = self.taken == 0;
                self.next = Some(self.last);
                return ControlFlow::Break(());
            }
            if self.taken > 0 {
                self.out.push(',');
            }
            self.taken += 1;
            event.write(&mut self.out);
        }
        self.last = event.id;
        ControlFlow::Continue(())
    }

    async fn answer(mut self, headers: &HeaderMap) -> Result<Response, Problem> {
        if self.is_full {
            return Err(budget::full());
        }
        self.out.push(']');
        let body = ObjectWriter::object(|object| {
            object.json("events", self.out);
            object.opt_json("next", self.next);
        });
        Representation::json(body).answer_within(headers, self.room).await
    }
}

impl ApiRequest<'_> {
    pub(super) async fn events(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        let student = self.own_or(&class, self.once("student")?).await?;
        let notebook = self.once("notebook")?;
        let before = self.number("before", 1, i64::MAX)?.unwrap_or(i64::MAX);
        let limit = self.number("limit", 1, MAX_EVENTS)?.unwrap_or(DEFAULT_EVENTS) as usize;
        if let Some(cell) = self.once("cell")? {
            let ids = self.latest_runs(&class, (notebook, cell), student.as_ref()).await?;
            let answer = self.events_of(&class, ids, before, limit).await?;
            return Ok(about(student, answer));
        }
        let found = self.lesson(&class).await?;
        let lesson = found.as_ref().map(|found| &found.listed);
        let first = lesson.map_or(i64::MIN, |lesson| lesson.first.0);
        // Another lesson may begin before the events are read.
        let before = lesson.map_or(before, |lesson| before.min(lesson.last.0 + 1));
        let notebook = self.notebook_of(&class, notebook).await?;
        // One more than asked for tells whether there are more.
        let rows = if notebook.is_some() { MAX_LOOKED_AT } else { limit + 1 };
        let id = student.as_ref().map(StudentId::as_str);
        let mut events = Events::new(limit, before, self.relay.answers.begin());
        let mut is_over = false;
        let looked_at = self.relay.pages.history(&class, id, before, rows, |event| {
            is_over = event.id < first;
            if is_over {
                return ControlFlow::Break(());
            }
            let fits = notebook.as_ref().is_none_or(|notebook| notebook.has(event.body));
            events.take(event, fits)
        });
        if looked_at.await? == rows && events.next.is_none() && !is_over {
            events.next = Some(events.last);
        }
        Ok(about(student, events.answer(self.headers).await?))
    }

    /// Every student's latest run of a cell, or one's, as events, the newest first: in the lesson
    /// that is asked for, or in the current one.
    async fn latest_runs(
        &self,
        class: &ClassId,
        (notebook, cell): (Option<&str>, &str),
        student: Option<&StudentId>,
    ) -> Result<Vec<EventId>, Problem> {
        self.caught_up().await;
        let classes = &self.relay.classes;
        if let Some(lesson) = self.earlier_lesson(class).await? {
            let runs = classes.earlier_runs(class, &lesson, (notebook, cell), student).await?;
            return runs.ok_or_else(Problem::no_lesson);
        }
        let runs = classes.read(class, |state, _, _| state.latest_runs(notebook, cell, student));
        Ok(runs.await?)
    }

    /// Answers with the events of these ids.
    async fn events_of(
        &self,
        class: &ClassId,
        ids: Vec<EventId>,
        before: i64,
        limit: usize,
    ) -> Result<Response, Problem> {
        let ids = ids.into_iter().filter(|id| id.0 < before);
        let ids: Vec<EventId> = ids.take(limit + 1).collect();
        let mut events = Events::new(limit, before, self.relay.answers.begin());
        self.relay.pages.events_of_ids(class, &ids, |event| events.take(event, true)).await?;
        events.answer(self.headers).await
    }

    /// The notebook of a path, by the settings of the class.
    async fn notebook_of(
        &self,
        class: &ClassId,
        path: Option<&str>,
    ) -> Result<Option<WantedNotebook>, Problem> {
        let Some(path) = path else { return Ok(None) };
        let read = self.relay.classes.read(class, |state, _, _| {
            let (settings, _) = state.settings();
            let name = state.notebook_name(path);
            WantedNotebook { name, settings: Arc::clone(settings) }
        });
        Ok(Some(read.await?))
    }
}

/// An answer that the audit records as one about this student.
fn about(student: Option<StudentId>, answer: Response) -> Response {
    match student {
        Some(student) => Outcome::of(student, true, answer),
        None => answer,
    }
}

/// A notebook whose events are wanted.
struct WantedNotebook {
    /// None if those of no notebook are wanted.
    name: Option<String>,
    settings: Arc<Settings>,
}

impl WantedNotebook {
    /// Whether an event is of it; of a key that comes twice, the last counts.
    fn has(&self, body: &str) -> bool {
        let path = json::members(body).filter(|(key, _)| key == "notebookPath").last();
        let path = path.filter(|(_, value)| value.starts_with('"'));
        path.and_then(|(_, value)| self.settings.notebook_name(&json::decode(value))) == self.name
    }
}
