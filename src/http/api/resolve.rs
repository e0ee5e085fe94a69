//! `POST /api/class/students/{student}/help/resolve`: an instructor has been there.
//!
//! It is an event like any other, so every dashboard on every replica sees the hand go down the way
//! it sees all else.

use percent_encoding::percent_decode_str;
use uuid::Uuid;
use warp::reply::Response;

use super::answer::Answer;
use super::{Problem, Request};
use crate::event::{Cursor, Event, StudentId};
use crate::http::ingest;
use crate::writer::Outcome;

impl Request<'_> {
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
            // Another instructor was there first, or the student has lowered it: that is what was
            // wanted.
            Some(false) => {
                return Answer::json("{\"resolved\":false}".to_owned()).reply(self).await;
            }
            Some(true) => {}
        }
        let now = relay.classes.now();
        let event_id = Uuid::new_v4();
        let body = format!(
            "{{\"eventId\":\"{event_id}\",\"eventType\":\"help_resolved\",\"eventTime\":\"{}\"}}",
            now.to_rfc3339()
        );
        let event = Event { event_id, class, student, occurred_at: now, body };
        let written = relay
            .writer
            .write(vec![event])
            .await
            .map_err(|error| ingest::unwritten(relay, error))?;
        let cursor = match written.outcomes.into_iter().next() {
            Some(Outcome::Stored(id)) => {
                format!(",\"cursor\":\"{}\"", Cursor { epoch: written.epoch, id })
            }
            // The connection was lost at the commit, and the event was there when it was sent
            // again.
            Some(Outcome::Duplicate) => String::new(),
            Some(Outcome::Refused(reason) | Outcome::Failed(reason)) => {
                return Err(Problem::refused(&reason));
            }
            None => return Err(Problem::refused("it was not stored")),
        };
        let answer = format!("{{\"resolved\":true,\"eventId\":\"{event_id}\"{cursor}}}");
        Answer::json(answer).reply(self).await
    }
}
