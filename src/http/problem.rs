//! The answer to a request that fails: `application/problem+json` (RFC 9457), one type for every
//! route.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};
use warp::reply::Response;

/// The beginning of a problem's `type`; the rest is stable and for programs.
const TYPE_PREFIX: &str = "urn:progress-relay:problem:";

/// Logs what a client is told when something fails, as the client gets it, at
/// `--log progress_relay::answers=trace`. Operators see so what a client was told; the tests look
/// there for secrets in all that any test is answered.
pub(super) fn trace_refusal(told: &dyn fmt::Display) {
    tracing::trace!(target: "progress_relay::answers", "{told}");
}

/// A problem's name, as an extension of its answer: what a 503 is counted by.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProblemName(pub(super) &'static str);

/// An error answer.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    members: Map<String, Value>,
}

impl Problem {
    /// A problem: `name` ends its `type`, `title` is the same for all of that type, `detail` is
    /// about this one.
    pub(super) fn new(
        status: StatusCode,
        name: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self { status, name, title, detail, headers: Vec::new(), members: Map::new() }
    }

    /// No such path.
    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is nothing at this path",
            "events are POSTed to /student-progress or /api/v1/events; a dashboard connects to \
                 /ws/connect",
        )
    }

    /// The path exists and does not take this method.
    pub(super) fn method_not_allowed(allow: &HeaderValue) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "this path does not take that method",
            format!("it takes {}", allow.to_str().unwrap_or_default()),
        )
        .with_header(header::ALLOW, allow.clone())
    }

    /// A parameter cannot be used.
    pub(super) fn bad_parameter(name: &str, reason: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-parameter",
            "a parameter of the URL cannot be used",
            format!("{name} {reason}"),
        )
        .with("field", name)
    }

    /// The body of an act, or a member of it, cannot be used.
    pub(super) fn bad_body(member: &str, reason: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-body",
            "the body cannot be used",
            format!("{member} {reason}"),
        )
        .with("field", member)
    }

    /// The class has no such student.
    pub(super) fn no_student(student: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-such-student",
            "the class has no such student",
            format!("nothing of a student {student:?} was received in this class"),
        )
        .with("field", "student")
    }

    /// The class has had no such lesson.
    pub(super) fn no_lesson() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-such-lesson",
            "the class has had no such lesson",
            "GET /api/class/lessons lists its lessons; their ids change when events are restored \
             from a dump, and a lesson cannot be shown once its first events are deleted",
        )
        .with("field", "lesson")
    }

    /// The caller is known, and its role may not do this.
    pub(super) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "the caller's role may not do this", detail)
    }

    /// The database rejects the event.
    pub(super) fn refused(reason: &str) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "refused-by-the-database",
            "the database does not take it",
            reason,
        )
    }

    /// The request cannot be served now; the same request may be made again.
    pub(super) fn unavailable(
        name: &'static str,
        title: &'static str,
        detail: impl Into<String>,
        retry_after: Duration,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, name, title, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)))
    }

    /// Adds a member.
    pub(super) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// The end of its type, for programs.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The answer's status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The text that all problems of this type share, for a person.
    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    /// The text about this one, for a person.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Adds a header to the answer.
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl warp::Reply for Problem {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("{TYPE_PREFIX}{}", self.name).into());
        body.insert("title".to_owned(), self.title.into());
        body.insert("status".to_owned(), self.status.as_u16().into());
        body.insert("detail".to_owned(), self.detail.into());
        body.extend(self.members);
        let body = Value::Object(body).to_string();
        trace_refusal(&body);
        let mut response = Response::new(body.into());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(ProblemName(self.name));
        let headers = response.headers_mut();
        headers.extend(self.headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
