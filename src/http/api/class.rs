//! What is answered from the state in memory: a class's summary, cells and activity; and which
//! classes there are.

use std::time::Duration;

use warp::reply::Response;

use super::answer::{self, Answer};
use super::{Problem, Request};
use crate::event::{ClassId, EventId, json};
use crate::state::{MAX_MINUTES, MINUTE, SummaryParts, buckets, minute_of};

/// How long a reader waits for this replica to have all that was acknowledged before the request.
/// Without an answer the database is away: what is known is better than nothing.
const POSITION_PATIENCE: Duration = Duration::from_secs(2);
/// Minutes of activity, unless asked otherwise.
const DEFAULT_MINUTES: i64 = 60;
/// Classes in one answer, and the most that may be asked for.
const DEFAULT_CLASSES: i64 = 1_000;
const MAX_CLASSES: i64 = 10_000;

impl Request<'_> {
    /// Once this replica has folded all that was acknowledged before: up to which id that is, if
    /// the database says so.
    pub(super) async fn caught_up(&self) -> Option<EventId> {
        let position = self.relay.tail.position(POSITION_PATIENCE).await;
        position.ok().map(|position| EventId(position.cursor.id))
    }

    pub(super) async fn summary(&self) -> Result<Response, Problem> {
        let (class, parts) = (self.class()?, self.parts()?);
        let min_cursor = self.caught_up().await;
        let summary = self.relay.classes.summary(&class, parts, min_cursor).await?;
        if answer::has(self.headers, &summary.etag) {
            return Ok(answer::not_modified(&summary.etag));
        }
        let now = self.relay.classes.now();
        let answers = &self.relay.answers;
        if answer::takes_gzip(self.headers) {
            let [begin, members, end] = summary.gzip(now).await;
            let members = answers.share(members, &summary.gzip_reservation)?;
            return Ok(answer::tagged([begin, members, end], &summary.etag, true));
        }
        let [begin, members] = summary.json(now);
        let members = answers.share(members, &summary.json_reservation)?;
        Ok(answer::tagged([begin, members], &summary.etag, false))
    }

    fn parts(&self) -> Result<SummaryParts, Problem> {
        let mut parts = SummaryParts::default();
        for part in self.query.all("include").flat_map(|value| value.split(',')) {
            match part.trim() {
                "cells" => parts.cells = true,
                "grid" => (parts.cells, parts.grid) = (true, true),
                "activity" => parts.activity = true,
                "" => {}
                _ => {
                    return Err(Problem::bad_parameter(
                        "include",
                        "takes cells, grid and activity",
                    ));
                }
            }
        }
        Ok(parts)
    }

    pub(super) async fn cells(&self) -> Result<Response, Problem> {
        let (class, notebook) = (self.class()?, self.once("notebook")?);
        self.caught_up().await;
        let cells = self.relay.classes.cells(&class, notebook).await?;
        let mut members = members_of(&class);
        members.push_str(&cells);
        self.stamped(&members).await
    }

    pub(super) async fn activity(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        let minutes = self.number("minutes", 1, MAX_MINUTES)?.unwrap_or(DEFAULT_MINUTES);
        self.caught_up().await;
        let read = self.relay.classes.read(&class, |state, _, now| {
            // An event may be a moment ahead of what is known of the database's clock.
            let newest = state.last_received_at().map_or(now, |at| at.max(now));
            let last = minute_of(newest);
            let first = last - MINUTE * (minutes as u32 - 1);
            (first, last, state.minutes_since(first))
        });
        let (first, last, minutes) = read.await?;
        let mut members = members_of(&class);
        members.push_str("\"buckets\":");
        buckets(&minutes, first, last, &mut members);
        self.stamped(&members).await
    }

    pub(super) async fn classes(&self) -> Result<Response, Problem> {
        let limit = self.number("limit", 1, MAX_CLASSES)?.unwrap_or(DEFAULT_CLASSES) as usize;
        let after = self.once("after")?.unwrap_or_default();
        // Names that SQL gave may hold anything but this, and have to be reached.
        if after.contains('\0') {
            return Err(Problem::bad_parameter("after", "contains U+0000"));
        }
        self.caught_up().await;
        let (listed, more) = self.relay.classes.list(after, limit).await?;
        let mut out = String::from("\"classes\":[");
        for (index, (class, row)) in listed.iter().enumerate() {
            out.push_str(if index > 0 { ",{\"classId\":" } else { "{\"classId\":" });
            json::write_string(class.as_str(), &mut out);
            out.push_str(&format!(",\"students\":{},\"events\":{}", row.students, row.events));
            if let Some(at) = row.last_received_at {
                out.push_str(&format!(",\"lastReceivedAt\":\"{}\"", at.to_rfc3339()));
            }
            out.push('}');
        }
        out.push(']');
        if let Some((class, _)) = listed.last().filter(|_| more) {
            out.push_str(",\"next\":");
            json::write_string(class.as_str(), &mut out);
        }
        self.stamped(&out).await
    }

    pub(super) async fn stamped(&self, members: &str) -> Result<Response, Problem> {
        Answer::with_now(members, &self.relay.classes.now().to_rfc3339()).reply(self).await
    }
}

/// `"classId":…,` to go on from.
pub(super) fn members_of(class: &ClassId) -> String {
    let mut out = String::from("\"classId\":");
    json::write_string(class.as_str(), &mut out);
    out.push(',');
    out
}
