//! `POST /api/class/students/{student}/help/resolve`: an instructor lowers a hand.
//!
//! It is an event like any other, so every dashboard on every replica sees the hand go down as it
//! sees every other event.

use percent_encoding::percent_decode_str;
use uuid::Uuid;
use warp::reply::Response;

use super::request::ApiRequest;
use crate::event::{Cursor, Event, ObjectWriter, StudentId};
use crate::http::ingest;
use crate::http::problem::Problem;
use crate::writer::Outcome;

impl ApiRequest<'_> {
    pub(super) async fn resolve(&self, student: &str) -> Result<Response, Problem> {
        let relay = self.relay;
        let class = self.class()?;
        let student = percent_decode_str(student)
            .decode_utf8()
            .map_err(|_| Problem::bad_parameter("student", "is not UTF-8"))?;
        let student = StudentId::new(&student)
            .map_err(|error| Problem::bad_parameter("student", &error.to_string()))?;
        self.caught_up().await;
        let is_up = relay
            .classes
            .read(&class, |state, _, _| {
                state.student(student.as_str()).map(|student| student.help_since.is_some())
            })
            .await?;
        match is_up {
            None => return Err(Problem::no_student(student.as_str())),
            // Another instructor was there first, or the student has lowered the hand: either way
            // it is down, as the request demands.
            Some(false) => {
                let body = ObjectWriter::object(|object| object.json("resolved", false));
                return self.answer(body).await;
            }
            Some(true) => {}
        }
        let now = relay.classes.now();
        let event_id = Uuid::new_v4();
        let body = ObjectWriter::object(|object| {
            object.text("eventId", &event_id.to_string());
            object.text("eventType", "help_resolved");
            object.text("eventTime", &now.to_rfc3339());
        });
        let event = Event { event_id, class, student, occurred_at: now, body };
        let written = relay.writer.write(vec![event]).await.map_err(ingest::not_written)?;
        let cursor = match written.outcomes.into_iter().next() {
            Some(Outcome::Stored(id)) => Some(Cursor { epoch: written.epoch, id }),
            // The connection was lost at the commit, and the event was there when it was sent
            // again.
            Some(Outcome::Duplicate) => None,
            Some(Outcome::Rejected(reason) | Outcome::Failed(reason)) => {
                return Err(Problem::refused(&reason));
            }
            None => return Err(Problem::refused("it was not stored")),
        };
        let body = ObjectWriter::object(|object| {
            object.json("resolved", true);
            object.text("eventId", &event_id.to_string());
            if let Some(cursor) = cursor {
                object.text("cursor", &cursor.to_string());
            }
        });
        self.answer(body).await
    }
}
