//! `POST /student-progress`, also `/api/v1/events`: events in, an answer for each.

mod binding;
pub(super) mod body;

use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Buf;
use futures::Stream;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use warp::Reply;
use warp::reply::Response;

use self::body::MaxBody;
use super::context::Relay;
use super::problem::{Problem, trace_refusal};
use super::query::Query;
use super::request::Request;
use crate::access::Caller;
use crate::event::{Batch, BodyError, ClassId, Cursor, Rejection, parse_body};
use crate::writer::{Outcome, WriteError};

/// How long a client is told to wait before it tries again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What to do about a body that is too large.
const TOO_LARGE: &str = " (--max-body); send fewer events at a time";

/// Stores a request's events, and answers once they are committed.
pub(super) async fn post<S, B>(
    relay: &Relay,
    caller: &Caller,
    request: &Request,
    body: Pin<&mut S>,
) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let began = Instant::now();
    let query = Query::parse(&request.query);
    let response = match try_post(relay, caller, &request.headers, &query, body).await {
        Ok(response) => response,
        Err(problem) => {
            note_refusal(relay, &query, &problem);
            problem.into_response()
        }
    };
    relay.metrics.post_duration.observe(began.elapsed());
    response
}

/// Counts a request that is refused as a whole for a fault of the client's. Every event of a
/// request that is answered 422 was counted by the field at fault.
fn note_refusal(relay: &Relay, query: &Query<'_>, problem: &Problem) {
    let status = problem.status();
    if status.is_client_error() && status != StatusCode::UNPROCESSABLE_ENTITY {
        let class = query.class_for_events().map(ClassId::new);
        let class = class.and_then(Result::ok).unwrap_or_default();
        relay.rejections.note_request(&class, problem.title());
    }
}

async fn try_post<S, B>(
    relay: &Relay,
    caller: &Caller,
    headers: &HeaderMap,
    query: &Query<'_>,
    body: Pin<&mut S>,
) -> Result<Response, Problem>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    body::check_type(headers)?;
    if relay.writer.is_refusing() {
        // Under an overload most requests end here. To read and parse them first would cost time
        // that the requests in the queue need.
        return Err(not_written(relay.writer.refusal()));
    }
    let limits = &relay.limits;
    let patience = limits.request_timeout;
    let max = MaxBody { bytes: limits.max_body, advice: TOO_LARGE };
    let body = body::read(headers, body, max, patience, &relay.bodies).await?;
    let class = query.class_for_events().or(caller.scope.single().map(ClassId::as_str));
    let batch = parse_body(&body.bytes, class, limits.events).map_err(refused)?;
    drop(body);
    store(relay, binding::bind(batch, caller)?).await
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
    let Batch { events, mut rejected, ignored } = batch;
    relay.rejections.note_events(&rejected);
    let sources: Vec<(usize, ClassId)> =
        events.iter().map(|(index, event)| (*index, event.class.clone())).collect();
    let events = events.into_iter().map(|(_, event)| event).collect::<Vec<_>>();
    let (outcomes, epoch) = if events.is_empty() {
        (Vec::new(), None)
    } else {
        let written = relay.writer.write(events).await.map_err(not_written)?;
        (written.outcomes, Some(written.epoch))
    };
    let (mut accepted, mut duplicates, mut last) = (0_u64, 0_u64, None);
    for ((index, class), outcome) in sources.iter().zip(outcomes) {
        match outcome {
            Outcome::Stored(id) => {
                accepted += 1;
                last = last.max(Some(id));
            }
            Outcome::Duplicate => duplicates += 1,
            Outcome::Rejected(reason) | Outcome::Failed(reason) => {
                relay.rejections.note_unstorable(class);
                rejected.push(Rejection {
                    index: *index,
                    field: None,
                    reason,
                    class: class.clone(),
                });
            }
        }
    }
    relay.metrics.accepted.inc_by(accepted);
    relay.metrics.duplicates.inc_by(duplicates);
    rejected.sort_by_key(|rejection| rejection.index);
    let nothing = accepted + duplicates == 0 && ignored == 0 && !rejected.is_empty();
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
    if rejected != json!([]) {
        trace_refusal(&rejected);
    }
    let mut answer = json!({"accepted": accepted, "duplicates": duplicates, "rejected": rejected});
    if ignored > 0 {
        answer["ignored"] = ignored.into();
    }
    if let (Some(id), Some(epoch)) = (last, epoch) {
        answer["cursor"] = Cursor { epoch, id }.to_string().into();
    }
    Ok(warp::reply::json(&answer).into_response())
}

/// The problem for events that could not be stored now. Its member `cause` is the database's
/// error, if there is one.
pub(super) fn not_written(error: WriteError) -> Problem {
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
        WriteError::Late { after, cause } => (
            Problem::unavailable(
                "not-committed-in-time",
                "the database did not commit in time",
                format!(
                    "it was waited for {} s (--commit-timeout); send the same request again, an \
                         event that was stored all the same is not stored twice",
                    after.as_secs_f32()
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
                 same request again once the rule is removed, an event that was stored is not \
                 stored twice",
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
