//! `GET /api/class/events`: the events themselves, newest first.

use std::ops::ControlFlow;

use warp::reply::Response;

use super::request::ApiRequest;
use crate::event::{ObjectWriter, StudentId, json};
use crate::http::budget;
use crate::http::problem::Problem;
use crate::http::representation::Representation;

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

impl ApiRequest<'_> {
    pub(super) async fn events(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        let student = self.once("student")?.map(StudentId::new).transpose();
        let student =
            student.map_err(|error| Problem::bad_parameter("student", &error.to_string()))?;
        let student = self.own_or(student)?;
        let notebook = self.once("notebook")?;
        let before = self.number("before", 1, i64::MAX)?.unwrap_or(i64::MAX);
        let limit = self.number("limit", 1, MAX_EVENTS)?.unwrap_or(DEFAULT_EVENTS) as usize;
        // One more than asked for tells whether there are more.
        let rows = if notebook.is_some() { MAX_LOOKED_AT } else { limit + 1 };
        let mut out = String::from("[");
        let (mut taken, mut last, mut next) = (0, before, None);
        let student = student.as_ref().map(StudentId::as_str);
        let (mut room, mut is_full) = (self.relay.answers.begin(), false);
        let looked_at = self
            .relay
            .pages
            .history(&class, student, before, rows, |event| {
                if taken == limit || out.len() > MAX_BYTES {
                    next = Some(last);
                    return ControlFlow::Break(());
                }
                if notebook.is_none_or(|notebook| is_of(event.body, notebook)) {
                    if !room.grow(out.len() + event.body.len() + EVENT_BYTES) {
                        // The client asks for the rest by `next`.
                        is_full = taken == 0;
                        next = Some(last);
                        return ControlFlow::Break(());
                    }
                    if taken > 0 {
                        out.push(',');
                    }
                    taken += 1;
                    event.write(&mut out);
                }
                last = event.id;
                ControlFlow::Continue(())
            })
            .await?;
        if is_full {
            return Err(budget::full());
        }
        if next.is_none() && looked_at == rows {
            next = Some(last);
        }
        out.push(']');
        let body = ObjectWriter::object(|object| {
            object.json("events", out);
            if let Some(next) = next {
                object.json("next", next);
            }
        });
        Representation::json(body).answer_within(self.headers, room).await
    }
}

/// Whether an event names this notebook; of a key that comes twice, the last counts.
fn is_of(body: &str, notebook: &str) -> bool {
    let path = json::members(body).filter(|(key, _)| key == "notebookPath").last();
    path.is_some_and(|(_, value)| value.starts_with('"') && json::decode(value) == notebook)
}
