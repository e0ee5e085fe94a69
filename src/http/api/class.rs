//! Answers from the state in memory: a class's summary, cells and activity; and the list of
//! classes.

use std::time::Duration;

use warp::reply::Response;

use super::request::ApiRequest;
use crate::access::Right;
use crate::database::ClassRow;
use crate::event::{ClassId, EventId, Micros, ObjectWriter};
use crate::http::problem::Problem;
use crate::http::representation::{if_none_match, not_modified, tagged, takes_gzip};
use crate::state::{MAX_MINUTES, MINUTE, RenderedSummary, SummaryParts, buckets, minute_of};

/// How long a reader waits for this replica to have every event that was acknowledged before the
/// request. Without an answer the database is away, and an older state is better than none.
const POSITION_PATIENCE: Duration = Duration::from_secs(2);
/// Minutes of activity, unless asked otherwise.
const DEFAULT_MINUTES: i64 = 60;
/// Classes in one answer, and the most that may be asked for.
const DEFAULT_CLASSES: i64 = 1_000;
const MAX_CLASSES: i64 = 10_000;
/// The most pages of all classes that are read for one page of a caller's own.
const MAX_PAGES: usize = 20;

impl ApiRequest<'_> {
    /// Waits until this replica has folded every event that was acknowledged before. Returns the id
    /// up to which that is, if the database says so.
    pub(super) async fn caught_up(&self) -> Option<EventId> {
        let position = self.relay.tail.position(POSITION_PATIENCE).await;
        position.ok().map(|position| EventId(position.cursor.id))
    }

    pub(super) async fn summary(&self) -> Result<Response, Problem> {
        let (class, parts) = (self.class()?, self.parts()?);
        let student = self.own_or(&class, None).await?;
        let min_cursor = self.caught_up().await;
        let classes = &self.relay.classes;
        if let Some(own) = student {
            if parts.activity || self.once("lesson")?.is_some() {
                return Err(Problem::forbidden(
                    "activity and earlier lessons are counted over all students; a student reads \
                     its own state",
                ));
            }
            return self
                .answer_summary(&classes.own_summary(&class, &own, parts).await?, None)
                .await;
        }
        let Some(lesson) = self.earlier_lesson(&class).await? else {
            let summary = classes.summary(&class, parts, min_cursor).await?;
            return self.answer_summary(&summary, None).await;
        };
        let summary = classes.earlier_lesson(&class, &lesson, parts).await?;
        let summary = summary.ok_or_else(Problem::no_lesson)?;
        self.answer_summary(&summary, Some(summary.rendered_at)).await
    }

    /// Answers with a summary as it is now, or as it was at the end of an earlier lesson.
    async fn answer_summary(
        &self,
        summary: &RenderedSummary,
        ended_at: Option<Micros>,
    ) -> Result<Response, Problem> {
        if if_none_match(self.headers, &summary.etag) {
            return Ok(not_modified(&summary.etag));
        }
        let now = ended_at.unwrap_or_else(|| self.relay.classes.now());
        let answers = &self.relay.answers;
        if takes_gzip(self.headers)
            && let Some([begin, members, end]) = summary.gzip(now).await
        {
            let members = answers.share(members, &summary.gzip_reservation)?;
            return Ok(tagged([begin, members, end], &summary.etag, true));
        }
        let [begin, members] = summary.json(now);
        let members = answers.share(members, &summary.json_reservation)?;
        Ok(tagged([begin, members], &summary.etag, false))
    }

    fn parts(&self) -> Result<SummaryParts, Problem> {
        let mut parts = SummaryParts::default();
        for part in self.query.all("include").flat_map(|value| value.split(',')) {
            match part.trim() {
                "cells" => parts.cells = true,
                "grid" => (parts.cells, parts.grid) = (true, true),
                "activity" => parts.activity = true,
                "settings" => parts.settings = true,
                "" => {}
                _ => {
                    return Err(Problem::bad_parameter(
                        "include",
                        "takes cells, grid, activity and settings",
                    ));
                }
            }
        }
        Ok(parts)
    }

    pub(super) async fn cells(&self) -> Result<Response, Problem> {
        let (class, path) = (self.class()?, self.once("notebook")?);
        self.caught_up().await;
        let classes = &self.relay.classes;
        // By the class's settings; cells of no notebook have an empty one.
        let name = |path| classes.read(&class, move |state, _, _| state.notebook_name(path));
        let notebook = match path {
            Some(path) => Some(name(path).await?.unwrap_or_default()),
            None => None,
        };
        let cells = classes.cells(&class, notebook.as_deref()).await?;
        let object = ObjectWriter::object(|object| {
            object.text("classId", class.as_str());
            object.members(&cells);
        });
        self.answer_stamped(&object).await
    }

    pub(super) async fn activity(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        let minutes = self.number("minutes", 1, MAX_MINUTES)?.unwrap_or(DEFAULT_MINUTES);
        self.caught_up().await;
        let read = self.relay.classes.read(&class, |state, _, now| {
            // An event may be a moment ahead of the database's clock as it is reckoned here.
            let newest = state.last_received_at().map_or(now, |at| at.max(now));
            let last = minute_of(newest);
            let first = last - MINUTE * (minutes as u32 - 1);
            (first, last, state.minutes_since(first))
        });
        let (first, last, minutes) = read.await?;
        let object = ObjectWriter::object(|object| {
            object.text("classId", class.as_str());
            object.written("buckets", |out| buckets(&minutes, first, last, out));
        });
        self.answer_stamped(&object).await
    }

    pub(super) async fn classes(&self) -> Result<Response, Problem> {
        let limit = self.number("limit", 1, MAX_CLASSES)?.unwrap_or(DEFAULT_CLASSES) as usize;
        let after = self.once("after")?.unwrap_or_default();
        // Names that SQL gave may hold anything but this, and have to be reached.
        if after.contains('\0') {
            return Err(Problem::bad_parameter("after", "contains U+0000"));
        }
        self.caught_up().await;
        let (listed, next) = self.own_classes(after, limit).await?;
        let object = ObjectWriter::object(|object| {
            object.objects("classes", &listed, |object, (class, row)| {
                object.text("classId", class.as_str());
                object.json("students", row.students);
                object.json("events", row.events);
                if let Some(at) = row.last_received_at {
                    object.text("lastReceivedAt", &at.to_rfc3339());
                }
            });
            object.opt_text("next", next.as_ref().map(ClassId::as_str));
        });
        self.answer_stamped(&object).await
    }

    /// At most `limit` of the classes that the caller may read, by name, after `after`; and the
    /// class from which the list goes on, if it may. A caller of a few among many classes may get
    /// fewer than `limit`, and goes on all the same.
    async fn own_classes(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<(ClassId, ClassRow)>, Option<ClassId>), Problem> {
        let mut listed = Vec::new();
        let mut last: Option<ClassId> = None;
        for number in 0..MAX_PAGES {
            let from = last.as_ref().map_or(after, ClassId::as_str);
            // Where the first page was not enough, most classes are others'.
            let size = if number == 0 { limit } else { limit.max(DEFAULT_CLASSES as usize) };
            let (page, mut more) = self.relay.classes.list(from, size).await?;
            let count = page.len();
            for (at, (class, row)) in page.into_iter().enumerate() {
                last = Some(class.clone());
                if !self.caller.may(Right::Read, &class) {
                    continue;
                }
                listed.push((class, row));
                if listed.len() == limit {
                    more |= at + 1 < count;
                    break;
                }
            }
            if !more {
                return Ok((listed, None));
            }
            if listed.len() == limit {
                break;
            }
        }
        Ok((listed, last))
    }
}
