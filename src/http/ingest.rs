//! `POST /student-progress`, also `/api/v1/events`: events in, an answer for each.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::Reply;
use warp::reply::Response;

use super::Relay;
use super::problem::Problem;
use super::query::Query;
use crate::event::{Batch, BodyError, ClassId, Cursor, Rejection, parse_body};
use crate::writer::{Outcome, WriteError};

/// What a client is told to wait before it tries again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a browser may remember that it may post here: the most that Chromium honours.
const PREFLIGHT_MAX_AGE: &str = "7200";

/// What every body may take up without asking; what it has beyond comes out of a budget that all
/// requests share, so that a few large bodies, sent slowly, keep no small one out.
const FREE_BODY: usize = 16 * 1024;
/// How much of a refused body is passed over, and for how long.
const MAX_PASSED: usize = 16 * 1024 * 1024;
const PASSING_TIME: Duration = Duration::from_secs(1);
/// The budget's unit in bytes.
const BUDGET_UNIT: usize = 1024;

/// Bytes that the large bodies of all requests may take up together.
#[derive(Debug, Clone)]
pub struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    /// A budget of about so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / BUDGET_UNIT).min(Semaphore::MAX_PERMITS))))
    }
}

/// A body as it arrives, and its part of the budget.
struct Body {
    bytes: BytesMut,
    reserved: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Body {
    /// Makes sure that `more` bytes have room.
    fn reserve(&mut self, more: usize, budget: &BodyBudget) -> Result<(), Problem> {
        let over = (self.bytes.len() + more).saturating_sub(FREE_BODY).div_ceil(BUDGET_UNIT);
        if over <= self.reserved {
            return Ok(());
        }
        let units = u32::try_from(over - self.reserved).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&budget.0).try_acquire_many_owned(units) else {
            return Err(Problem::unavailable(
                "too-many-large-bodies",
                "too many large requests at once",
                "nothing of this request was stored; send it again, or fewer events at a time",
                RETRY_AFTER,
            ));
        };
        self.reserved = over;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        Ok(())
    }
}

/// Takes a request's events and answers once they are committed.
pub(super) async fn post<S, B>(
    relay: Arc<Relay>,
    headers: HeaderMap,
    query: String,
    body: S,
) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let mut body = pin!(body);
    match take(&relay, &headers, &query, body.as_mut()).await {
        Ok(answer) => with_cors(&headers, answer),
        Err(problem) => {
            // Every event of a request that is answered 422 was counted by its own field.
            if problem.status().is_client_error()
                && problem.status() != StatusCode::UNPROCESSABLE_ENTITY
            {
                let class = Query::parse(&query).class_for_events().map(ClassId::new);
                let class = class.and_then(Result::ok).unwrap_or_default();
                relay.refusals.note_request(&class, problem.title());
            }
            refuse(&headers, body, problem.into_response()).await
        }
    }
}

/// Answers a request whose body was not read to its end: what there is of it is passed over first,
/// within bounds. To close while the client still sends would reset the connection, and it would
/// read of that instead of the answer.
pub(super) async fn refuse<S, B>(headers: &HeaderMap, body: S, answer: Response) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let mut body = pin!(body);
    let passing = async {
        let mut passed = 0;
        while let Some(Ok(part)) = body.next().await {
            passed += part.remaining();
            if passed > MAX_PASSED {
                return false;
            }
        }
        true
    };
    let mut answer = with_cors(headers, answer);
    if tokio::time::timeout(PASSING_TIME, passing).await != Ok(true) {
        // What else comes is not the next request.
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

async fn take<S, B>(
    relay: &Relay,
    headers: &HeaderMap,
    query: &str,
    body: S,
) -> Result<Response, Problem>
where
    S: Stream<Item = Result<B, warp::Error>> + Send + Unpin,
    B: Buf + Send,
{
    check_type(headers)?;
    if relay.writer.is_refusing() {
        // Under an overload most requests end here: to read and parse them first is work that those
        // in the queue would miss.
        return Err(unwritten(relay, relay.writer.refusal()));
    }
    let body = read(relay, headers, body).await?;
    let query = Query::parse(query);
    let batch =
        parse_body(&body.bytes, query.class_for_events(), relay.limits.events).map_err(refused)?;
    drop(body);
    store(relay, batch).await
}

/// A body in another form than plain JSON is refused before it is read.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported = |detail: String| {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "the body is not in a form that is taken",
            detail,
        )
    };
    for encoding in headers.get_all(header::CONTENT_ENCODING) {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
            return Err(unsupported(
                "the body must not be compressed (Content-Encoding)".to_owned(),
            ));
        }
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let taken = essence.is_empty() && value.is_empty()
        || essence == "application/json"
        || essence == "text/plain"
        || essence.split_once('/').is_some_and(|(_, subtype)| subtype.ends_with("+json"));
    if taken {
        return Ok(());
    }
    Err(unsupported(
        "send application/json (another +json, text/plain or no Content-Type do as well)"
            .to_owned(),
    ))
}

/// Reads the body up to its bound, within the time that a request has.
async fn read<S, B>(relay: &Relay, headers: &HeaderMap, mut body: S) -> Result<Body, Problem>
where
    S: Stream<Item = Result<B, warp::Error>> + Send + Unpin,
    B: Buf + Send,
{
    let max_body = relay.limits.max_body;
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "the body is too large",
            format!("at most {max_body} bytes are taken (--max-body); send fewer events at a time"),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max_body) {
        return Err(too_large());
    }
    let reading = async {
        // What is announced may never come: it buys no more than a page at once.
        let bytes = BytesMut::with_capacity(announced.unwrap_or(0).min(FREE_BODY));
        let mut whole = Body { bytes, reserved: 0, permit: None };
        while let Some(part) = body.next().await {
            let mut part = part.map_err(|error| {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "body-incomplete",
                    "the body did not arrive whole",
                    crate::error::chain(&error),
                )
            })?;
            if whole.bytes.len() + part.remaining() > max_body {
                return Err(too_large());
            }
            whole.reserve(part.remaining(), &relay.bodies)?;
            while part.has_remaining() {
                let chunk = part.chunk();
                whole.bytes.extend_from_slice(chunk);
                let taken = chunk.len();
                part.advance(taken);
            }
        }
        Ok(whole)
    };
    match tokio::time::timeout(relay.limits.request_timeout, reading).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-too-slow",
            "the body did not arrive in time",
            format!(
                "a request has {} s (--request-timeout)",
                relay.limits.request_timeout.as_secs_f32()
            ),
        )),
    }
}

fn refused(error: BodyError) -> Problem {
    let detail = error.to_string();
    match error {
        BodyError::NotUtf8(_) => {
            Problem::new(StatusCode::BAD_REQUEST, "body-not-utf8", "the body is not UTF-8", detail)
        }
        BodyError::NotJson(_) => {
            Problem::new(StatusCode::BAD_REQUEST, "body-not-json", "the body is not JSON", detail)
        }
        BodyError::NotEvents => Problem::new(
            StatusCode::BAD_REQUEST,
            "body-not-events",
            "the body is neither an event nor an array of events",
            detail,
        ),
        BodyError::TooMany(_) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "batch-too-large",
            "the batch is too large",
            detail,
        ),
    }
}

async fn store(relay: &Relay, batch: Batch) -> Result<Response, Problem> {
    let Batch { events, mut rejected } = batch;
    relay.refusals.note_events(&rejected);
    let places: Vec<(usize, ClassId)> =
        events.iter().map(|(index, event)| (*index, event.class.clone())).collect();
    let events = events.into_iter().map(|(_, event)| event).collect::<Vec<_>>();
    let (outcomes, epoch) = if events.is_empty() {
        (Vec::new(), None)
    } else {
        let written = relay.writer.write(events).await.map_err(|error| unwritten(relay, error))?;
        (written.outcomes, Some(written.epoch))
    };
    let (mut accepted, mut duplicates, mut last) = (0_usize, 0_usize, None);
    for ((index, class), outcome) in places.iter().zip(outcomes) {
        match outcome {
            Outcome::Stored(id) => {
                accepted += 1;
                last = last.max(Some(id));
            }
            Outcome::Duplicate => duplicates += 1,
            Outcome::Refused(reason) | Outcome::Failed(reason) => {
                relay.refusals.note_unstorable(class);
                rejected.push(Rejection {
                    index: *index,
                    field: None,
                    reason,
                    class: class.clone(),
                });
            }
        }
    }
    rejected.sort_by_key(|rejection| rejection.index);
    let nothing = accepted + duplicates == 0 && !rejected.is_empty();
    let rejected = serde_json::to_value(rejected).unwrap_or(Value::Null);
    if nothing {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "events-rejected",
            "every event is rejected",
            "`rejected` says of each which field is at fault, and why",
        )
        .with("accepted", 0)
        .with("duplicates", 0)
        .with("rejected", rejected));
    }
    let mut answer = json!({"accepted": accepted, "duplicates": duplicates, "rejected": rejected});
    if let (Some(id), Some(epoch)) = (last, epoch) {
        answer["cursor"] = Cursor { epoch, id }.to_string().into();
    }
    Ok(warp::reply::json(&answer).into_response())
}

/// Why events could not be stored now. `cause` has the database's words, where it said something.
pub(super) fn unwritten(relay: &Relay, error: WriteError) -> Problem {
    let (problem, cause) = match error {
        WriteError::QueueFull { cause } => (
            Problem::unavailable(
                "queue-full",
                "too much waits to be stored",
                "nothing of this request was stored; send it again (--queue-rows, --queue-bytes)",
                RETRY_AFTER,
            ),
            cause,
        ),
        WriteError::Late { cause, .. } => (
            Problem::unavailable(
                "not-committed-in-time",
                "the database did not commit in time",
                format!(
                    "it was waited for {} s (--commit-timeout); send the same request again, an \
                         event that was stored all the \
                     same is not stored twice",
                    relay.limits.commit_timeout.as_secs_f32()
                ),
                RETRY_AFTER,
            ),
            cause,
        ),
        WriteError::Failed { cause } => (
            Problem::unavailable(
                "not-stored",
                "the database does not store an event of this request",
                "it stores others, so a rule that was added to it may be the reason; send the \
                     same request again once that \
                 is mended, an event that was stored is not stored twice",
                RETRY_AFTER,
            ),
            Some(cause),
        ),
    };
    match cause {
        Some(cause) => problem.with("cause", cause),
        None => problem,
    }
}

/// The answer to a browser that asks whether it may post here: from anywhere, with any header.
pub(super) fn preflight(headers: &HeaderMap) -> Response {
    let mut response = with_cors(headers, StatusCode::NO_CONTENT.into_response());
    let answer = response.headers_mut();
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_MAX_AGE));
    // With credentials `*` would mean a header of that name, so what is asked for is repeated.
    let any = HeaderValue::from_static("*");
    let requested = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned().unwrap_or(any);
    answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, requested);
    answer.append(header::VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    // Chromium asks this of a page on a public address that posts to a private one.
    if headers.contains_key("access-control-request-private-network") {
        answer.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    }
    response
}

/// Any page may read the answer: without it a browser hides even errors from the client. Beacons
/// and some clients send credentials, and then a browser takes only its own origin for an answer,
/// not `*`. That gives no site any rights: ingest never reads a cookie.
pub(super) fn with_cors(request: &HeaderMap, mut response: Response) -> Response {
    let headers = response.headers_mut();
    let origin = match request.get(header::ORIGIN) {
        Some(origin) => {
            headers
                .insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            origin.clone()
        }
        None => HeaderValue::from_static("*"),
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    response
}
