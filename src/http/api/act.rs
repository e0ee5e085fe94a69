//! What an instructor does in a class. Each act is an event like any other: it is stored, and every
//! dashboard on every replica sees it as it sees every other event.
//!
//! - `POST …/students/{student}/help/resolve`: a hand is lowered
//! - `POST` and `DELETE …/students/{student}/help/claim`: the instructor is on the way to a raised
//!   hand, or is not any more
//! - `POST /api/class/lessons`: a lesson begins
//! - `POST /api/class/viewing`: the instructor looks at the class, or at a student

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use uuid::Uuid;
use warp::reply::Response;

use super::outcome::Outcome as ActOutcome;
use super::request::ApiRequest;
use crate::event::{ClassId, Cursor, Event, Micros, ObjectWriter, StudentId};
use crate::http::ingest;
use crate::http::problem::Problem;
use crate::state::Student;
use crate::writer::Outcome;

/// The longest name of an instructor, title of a lesson, and id of a student, in bytes.
const MAX_TEXT: usize = 200;

/// The body of an act.
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Words {
    /// The instructor, where callers are not known.
    by: Option<String>,
    /// Of a lesson.
    title: Option<String>,
    /// Whom the instructor looks at.
    student: Option<String>,
}

/// An act that was stored.
pub(super) struct Stored {
    event_id: Uuid,
    /// `None` if the connection was lost at the commit, and the event was there when it was sent
    /// again.
    pub(super) cursor: Option<Cursor>,
}

impl Stored {
    /// Writes the members that name the event.
    pub(super) fn write(&self, object: &mut ObjectWriter<'_>) {
        object.text("eventId", &self.event_id.to_string());
        object.opt_text("cursor", self.cursor.as_ref().map(Cursor::to_string).as_deref());
    }
}

/// What an instructor does about a raised hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandAct {
    /// Lowers it.
    Resolve,
    /// Is on the way to it.
    Claim,
    /// Is not on the way any more.
    Release,
}

impl HandAct {
    fn event_type(self) -> &'static str {
        match self {
            Self::Resolve => "help_resolved",
            Self::Claim | Self::Release => "help_claimed",
        }
    }

    /// The answer's member, and what it is once the act is stored.
    fn answer(self) -> (&'static str, bool) {
        match self {
            Self::Resolve => ("resolved", true),
            Self::Claim => ("claimed", true),
            Self::Release => ("claimed", false),
        }
    }

    /// Whether the student has a hand to act on.
    fn concerns(self, student: &Student, now: Micros) -> bool {
        match self {
            // A hand that has lapsed is lowered too: a dashboard may not know yet.
            Self::Resolve => student.help_since.is_some(),
            Self::Claim | Self::Release => student.hand_until(now).is_some(),
        }
    }

    /// Writes the event's own members.
    fn write(self, actor: &str, object: &mut ObjectWriter<'_>) {
        object.text("actor", actor);
        match self {
            Self::Resolve => {}
            Self::Claim => object.text("by", actor),
            Self::Release => {
                object.text("by", actor);
                object.json("released", true);
            }
        }
    }
}

impl ApiRequest<'_> {
    pub(super) async fn resolve(&self, student: &str) -> Result<Response, Problem> {
        self.act_on_hand(HandAct::Resolve, student, &Words::default()).await
    }

    /// The instructor is on the way to a raised hand (`claims`), or is not any more.
    pub(super) async fn claim(&self, student: &str, claims: bool) -> Result<Response, Problem> {
        let act = if claims { HandAct::Claim } else { HandAct::Release };
        self.act_on_hand(act, student, &self.words()?).await
    }

    pub(super) async fn begin_lesson(&self) -> Result<Response, Problem> {
        self.act_on_class("lesson_started", "title", |words| words.title.as_deref()).await
    }

    /// Stores nothing for a class without events: a page that is opened with a mistyped name would
    /// make it a class, listed for ever.
    pub(super) async fn viewing(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        self.caught_up().await;
        let read = self.relay.classes.read(&class, |state, _, _| state.lessons_listed().is_empty());
        if read.await? {
            self.words()?;
            return self.answer("{}".to_owned()).await;
        }
        self.act_on_class("instructor_viewing", "student", |words| words.student.as_deref()).await
    }

    /// Acts on a hand. The answer says whether it was done, and whether the hand is now so.
    async fn act_on_hand(
        &self,
        act: HandAct,
        student: &str,
        words: &Words,
    ) -> Result<Response, Problem> {
        let class = self.class()?;
        let student = self.student(&class, &decoded(student)?).await?;
        let (actor, (name, is_so)) = (self.actor(words)?, act.answer());
        if !self.has_hand(&class, &student, act).await? {
            // Another instructor was there first, or the student has lowered the hand: either way
            // it is down, and nothing is left to be done.
            let body = ObjectWriter::object(|object| object.json(name, false));
            return Ok(ActOutcome::of(student, false, self.answer_act(body, None).await?));
        }
        let write = |object: &mut ObjectWriter<'_>| act.write(&actor, object);
        let stored = self.store(act.event_type(), class, Some(student.clone()), write).await?;
        let body = ObjectWriter::object(|object| {
            object.json(name, is_so);
            stored.write(object);
        });
        Ok(ActOutcome::of(student, true, self.answer_act(body, None).await?))
    }

    /// Acts on the class itself, with a text that the body may have under this name.
    async fn act_on_class(
        &self,
        event_type: &str,
        name: &str,
        text: impl Fn(&Words) -> Option<&str>,
    ) -> Result<Response, Problem> {
        let (class, words) = (self.class()?, self.words()?);
        let (actor, text) = (self.actor(&words)?, short(name, text(&words))?);
        let write = |object: &mut ObjectWriter<'_>| {
            object.text("actor", &actor);
            object.opt_text(name, text);
        };
        let stored = self.store(event_type, class, None, write).await?;
        self.answer_act(ObjectWriter::object(|object| stored.write(object)), None).await
    }

    /// Whether the student's hand is one to act on, at the time of the database's clock.
    async fn has_hand(
        &self,
        class: &ClassId,
        student: &StudentId,
        act: HandAct,
    ) -> Result<bool, Problem> {
        self.caught_up().await;
        let concerns = self.relay.classes.read(class, |state, _, now| {
            state.student(student.as_str()).map(|student| act.concerns(student, now))
        });
        concerns.await?.ok_or_else(|| Problem::no_student(student.as_str()))
    }

    /// The body of the request; one that is empty says nothing.
    fn words(&self) -> Result<Words, Problem> {
        let text = self.body.trim_ascii_start();
        if text.is_empty() {
            return Ok(Words::default());
        }
        // serde takes an array for an object: its elements would be the members, in their order.
        if !text.starts_with(b"{") {
            return Err(Problem::bad_body("body", "must be a JSON object"));
        }
        serde_json::from_slice(self.body)
            .map_err(|error| Problem::bad_body("body", &format!("is no such object: {error}")))
    }

    /// Who acts. Where callers are known, the caller: nobody acts in another's name.
    fn actor(&self, words: &Words) -> Result<String, Problem> {
        let named =
            short("by", words.by.as_deref())?.filter(|_| self.relay.gate.access().is_open());
        let known = self.caller.name.as_deref().unwrap_or(&self.caller.subject);
        Ok(named.unwrap_or(known).to_owned())
    }

    /// Stores an event of the relay's own, about a student or about the class.
    pub(super) async fn store(
        &self,
        event_type: &str,
        class: ClassId,
        student: Option<StudentId>,
        members: impl FnOnce(&mut ObjectWriter<'_>),
    ) -> Result<Stored, Problem> {
        let now = self.relay.classes.now();
        let event_id = Uuid::new_v4();
        let body = ObjectWriter::object(|object| {
            object.text("eventId", &event_id.to_string());
            object.text("eventType", event_type);
            object.text("eventTime", &now.to_rfc3339());
            members(object);
        });
        let student = student.unwrap_or_else(StudentId::the_class);
        let event = Event { event_id, class, student, occurred_at: now, body };
        let written = self.relay.writer.write(vec![event]).await.map_err(ingest::not_written)?;
        let cursor = match written.outcomes.into_iter().next() {
            Some(Outcome::Stored(id)) => Some(Cursor { epoch: written.epoch, id }),
            Some(Outcome::Duplicate) => None,
            Some(Outcome::Rejected(reason) | Outcome::Failed(reason)) => {
                return Err(Problem::refused(&reason));
            }
            None => return Err(Problem::refused("it was not stored")),
        };
        Ok(Stored { event_id, cursor })
    }
}

/// The name of the student in a path.
fn decoded(parameter: &str) -> Result<Cow<'_, str>, Problem> {
    let name = percent_decode_str(parameter).decode_utf8();
    name.map_err(|_| Problem::bad_parameter("student", "is not UTF-8"))
}

/// A text of a person's, without blanks around it; `None` if nothing is left.
fn short<'a>(name: &str, text: Option<&'a str>) -> Result<Option<&'a str>, Problem> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        let most = format!("may have {MAX_TEXT} bytes and no control characters");
        return Err(Problem::bad_body(name, &most));
    }
    Ok(Some(text))
}
