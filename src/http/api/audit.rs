//! `GET /api/audit`: who did what, newest first, for operators.

use warp::reply::Response;

use super::request::ApiRequest;
use crate::audit::Action;
use crate::database::{AuditEntry, AuditFilter};
use crate::event::{ClassId, ObjectWriter};
use crate::http::problem::Problem;

/// Entries of one answer, unless asked otherwise, and at most.
const DEFAULT_ENTRIES: i64 = 100;
const MAX_ENTRIES: i64 = 1_000;

impl ApiRequest<'_> {
    pub(super) async fn audit(&self) -> Result<Response, Problem> {
        let class = self.once("class")?.map(ClassId::new).transpose();
        let class = class.map_err(|error| Problem::bad_parameter("class", &error.to_string()))?;
        let subject = self.once("subject")?;
        if subject.is_some_and(|subject| subject.contains('\0')) {
            return Err(Problem::bad_parameter("subject", "may not contain U+0000"));
        }
        let action = self.once("action")?;
        let is_known = |action: &str| Action::ALL.iter().any(|known| known.as_str() == action);
        if action.is_some_and(|action| !is_known(action)) {
            let names = Action::ALL.map(Action::as_str).join(", ");
            return Err(Problem::bad_parameter("action", &format!("must be one of {names}")));
        }
        let limit = self.number("limit", 1, MAX_ENTRIES)?.unwrap_or(DEFAULT_ENTRIES);
        let filter = AuditFilter {
            class: class.as_ref().map(ClassId::as_str),
            subject,
            action,
            before: self.number("before", 1, i64::MAX)?.unwrap_or(i64::MAX),
            // One more than asked for tells whether there are more.
            limit: limit + 1,
        };
        let mut entries = self.relay.pages.audit(&filter).await?;
        let has_more = entries.len() as i64 > limit;
        entries.truncate(limit as usize);
        let next = entries.last().filter(|_| has_more).map(|entry| entry.id);
        let body = ObjectWriter::object(|object| {
            object.objects("entries", &entries, write);
            if let Some(next) = next {
                object.json("next", next);
            }
        });
        self.answer(body).await
    }
}

fn write(object: &mut ObjectWriter<'_>, entry: &AuditEntry) {
    object.json("id", entry.id);
    object.text("at", &entry.at.to_rfc3339());
    object.text("action", &entry.action);
    let texts = [
        ("subject", &entry.subject),
        ("role", &entry.role),
        ("source", &entry.source),
        ("classId", &entry.class),
        ("studentId", &entry.student),
        ("detail", &entry.detail),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            object.text(name, text);
        }
    }
    object.text("address", &entry.address.to_string());
}
