//! The body of an ingest request: its type, its part of the memory, reading it, and dropping
//! the rest.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::reply::Response;

use crate::http::problem::Problem;

/// How long a client is told to wait when there is no room for its body.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Bytes that every body has outside of the budget: a few large bodies, sent slowly, must not keep
/// small ones out.
const FREE_BODY: usize = 16 * 1024;
/// How much of the rest of a body is read and dropped, and for how long.
const MAX_DISCARDED: usize = 16 * 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(1);
/// The budget's unit in bytes.
const BUDGET_UNIT: usize = 1024;

/// Bytes that the large bodies of all requests may take up together.
#[derive(Debug, Clone)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    /// A budget of about so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / BUDGET_UNIT).min(Semaphore::MAX_PERMITS))))
    }
}

/// A body as it arrives, and its part of the budget.
pub(in crate::http) struct Body {
    pub(in crate::http) bytes: BytesMut,
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

/// Reads the rest of a body, and drops it, within bounds: for an answer that is given before
/// the body's end. To close the connection while the client still sends would reset it, and the
/// client would see the reset instead of the answer.
pub(in crate::http) async fn discard<S, B>(mut body: Pin<&mut S>, mut answer: Response) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let discarding = async {
        let mut discarded = 0;
        while let Some(Ok(part)) = body.next().await {
            discarded += part.remaining();
            if discarded > MAX_DISCARDED {
                return false;
            }
        }
        true
    };
    if tokio::time::timeout(DISCARD_TIME, discarding).await != Ok(true) {
        // The bytes that still come would be read as the next request.
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Refuses a body that is not plain JSON.
pub(in crate::http) fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
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

/// How long a body may be, and what a client can do whose body is longer.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct MaxBody {
    pub(in crate::http) bytes: usize,
    pub(in crate::http) advice: &'static str,
}

/// Reads a body of at most `max` bytes, within `patience`.
pub(in crate::http) async fn read<S, B>(
    headers: &HeaderMap,
    mut body: Pin<&mut S>,
    max: MaxBody,
    patience: Duration,
    budget: &BodyBudget,
) -> Result<Body, Problem>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "the body is too large",
            format!("at most {} bytes are taken{}", max.bytes, max.advice),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max.bytes) {
        return Err(too_large());
    }
    let reading = async {
        // The announced bytes may never come: they are worth no more than a page at once.
        let bytes = BytesMut::with_capacity(announced.unwrap_or(0).min(FREE_BODY));
        let mut whole = Body { bytes, reserved: 0, permit: None };
        while let Some(part) = body.next().await {
            let mut part = part.map_err(incomplete)?;
            if whole.bytes.len() + part.remaining() > max.bytes {
                return Err(too_large());
            }
            whole.reserve(part.remaining(), budget)?;
            while part.has_remaining() {
                let chunk = part.chunk();
                whole.bytes.extend_from_slice(chunk);
                let taken = chunk.len();
                part.advance(taken);
            }
        }
        Ok(whole)
    };
    match tokio::time::timeout(patience, reading).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-too-slow",
            "the body did not arrive in time",
            format!("a request has {} s (--request-timeout)", patience.as_secs_f32()),
        )),
    }
}

fn incomplete(error: warp::Error) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "body-incomplete",
        "the body did not arrive whole",
        crate::error::chain(&error),
    )
}
