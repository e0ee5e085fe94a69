//! What of the requests the audit records. The gate notes refusals, `dispatch` the answers of the
//! API, a subscription its beginning, and the sign-in its steps.

use std::net::IpAddr;

use http::StatusCode;
use warp::reply::Response;

use super::api::Operation;
use super::api::outcome::Outcome;
use super::context::Relay;
use super::gate::{Admission, Admitted};
use super::query::Query;
use super::request::Request;
use crate::access::{Caller, Credential};
use crate::audit::{Action, Audit, Entry};
use crate::event::ClassId;

impl Admitted {
    /// An entry about what this caller did; `None` for a student, who reads its own state alone.
    fn entry(&self, action: Action, address: IpAddr) -> Option<Entry> {
        let caller = self.caller.as_ref().filter(|caller| caller.own_student().is_none())?;
        let source = self.credential.as_ref().map(Credential::source)?;
        Some(Entry::new(action, address).by(caller, source))
    }
}

/// The caller of an operation that may be recorded.
pub(super) fn admitted(relay: &Relay, admission: &Admission) -> Option<Admitted> {
    match admission {
        Admission::Admitted(admitted) if relay.audit.records() => Some(admitted.clone()),
        _ => None,
    }
}

/// Notes an operation of the API that was carried out.
pub(super) fn note_operation(
    relay: &Relay,
    operation: Operation,
    admitted: &Admitted,
    request: &Request,
    answer: &Response,
) {
    let status = answer.status();
    if !status.is_success() && status != StatusCode::NOT_MODIFIED {
        return;
    }
    let outcome: Option<&Outcome> = answer.extensions().get();
    if outcome.is_some_and(|outcome| !outcome.is_done) {
        return;
    }
    let query = Query::parse(&request.query);
    let action = match operation {
        Operation::Events if query.first("student").is_some() => Action::StudentOpened,
        Operation::Summary
        | Operation::Events
        | Operation::Cells
        | Operation::Activity
        | Operation::Settings
        | Operation::Lessons
        | Operation::Rejected => Action::ClassOpened,
        Operation::Export => Action::Exported,
        Operation::Resolve => Action::HandLowered,
        Operation::Claim | Operation::Release => Action::HandClaimed,
        Operation::BeginLesson => Action::LessonBegun,
        Operation::ChangeSettings => Action::SettingsChanged,
        Operation::Audit => Action::AuditRead,
        Operation::Me | Operation::Classes | Operation::Description | Operation::View => return,
    };
    let Some(mut entry) = admitted.entry(action, request.client.address) else { return };
    // The handler has refused what is no class and no student.
    if action != Action::AuditRead {
        let class = query.first("class").map(ClassId::new).and_then(Result::ok);
        entry = entry.class(class.unwrap_or_default().as_str());
    }
    if let Some(Outcome { student, .. }) = outcome {
        entry = entry.student(student.as_str());
    }
    if let Operation::Release = operation {
        entry = entry.detail("released");
    }
    if action == Action::Exported {
        entry = entry.detail(match (query.first("format"), query.first("rows")) {
            (Some("ndjson"), _) => "ndjson",
            (Some("xapi" | "xapi-ndjson"), _) => "xapi",
            (_, Some("students")) => "students",
            _ => "csv",
        });
    }
    relay.audit.note(entry);
}

/// Notes the classes of a subscription that begins.
pub(super) fn note_subscription(
    audit: &Audit,
    admitted: &Admitted,
    address: IpAddr,
    classes: &[ClassId],
) {
    if !audit.records() {
        return;
    }
    for class in classes {
        if let Some(entry) = admitted.entry(Action::ClassOpened, address) {
            audit.note(entry.class(class.as_str()));
        }
    }
}

/// Notes a step of signing in or out, of a caller that is known.
pub(super) fn note_step(
    relay: &Relay,
    action: Action,
    request: &Request,
    caller: &Caller,
    source: &'static str,
) {
    if relay.audit.records() {
        relay.audit.note(Entry::new(action, request.client.address).by(caller, source));
    }
}
