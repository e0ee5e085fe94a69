//! `GET /api/class/stream`: the same session as a WebSocket's, as Server-Sent Events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{Sink, Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, header};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use warp::Reply;
use warp::reply::Response;

use super::opening::{Opening, Refusal};
use super::session::Transport;
use super::session::messages::{Close, Incoming, Outgoing};
use super::session::outbox::{Dropped, Outbox};
use crate::access::Denial;
use crate::http::context::Relay;
use crate::http::gate::{Admission, caller};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::request::Request;
use crate::http::server::timeouts::LastActivity;

/// How soon a browser comes back after the stream ended.
const RETRY: Duration = Duration::from_secs(1);
/// The same, when there was no room or no database.
const RETRY_LATER: Duration = Duration::from_secs(5);

/// Bytes of a line beside a frame's text: `data: ` and the line break, which may be two bytes on
/// the way.
const AROUND_DATA: usize = 8;

/// Answers with a stream, and starts a task for the session that fills it.
pub(in crate::http) async fn open(
    relay: &Arc<Relay>,
    admission: Admission,
    request: &Request,
) -> Response {
    let admission = match admission {
        Admission::Forbidden(problem) => return problem.into_response(),
        // Who calls cannot be found out now: the stream says when to come back.
        Admission::Denied(Denial::Unavailable { .. }) => Admission::TooMany,
        Admission::Denied(denial) => return caller::denied(&denial).into_response(),
        other => other,
    };
    let query = Query::parse(&request.query);
    let cursor = cursor(&request.headers, &query);
    let (retry, opening) = match Opening::decide(relay, admission, &query, cursor).await {
        Ok(opening) => (RETRY, Some(opening)),
        // A browser takes any other status than 200 as final, and never comes back by itself.
        Err(Refusal { close: Close::TryAgainLater, .. }) => (RETRY_LATER, None),
        Err(refusal) => {
            let parameter = refusal.parameter.unwrap_or("class");
            return Problem::bad_parameter(parameter, &refusal.reason).into_response();
        }
    };
    let (sender, receiver) = mpsc::channel(0);
    let gone = CancellationToken::new();
    let guard = gone.clone().drop_guard();
    let body = receiver.map(move |bytes| {
        // Dropped with the body, when the connection ends.
        let _ = &guard;
        Ok::<Bytes, Infallible>(bytes)
    });
    if let Some(opening) = opening {
        let activity = LastActivity::new();
        let transport = EventStream {
            activity: activity.clone(),
            sender,
            gone: Box::pin(gone.cancelled_owned()),
            outbox: Outbox::new(),
        };
        let session = opening.with_room_for(AROUND_DATA).session(
            relay,
            transport,
            activity,
            request.client.address,
        );
        let permit = request.permit.clone();
        relay.drain.sessions().spawn(async move {
            let (_, close) = session.run().await;
            tracing::debug!(?close, "a subscriber of Server-Sent Events left");
            drop(permit);
        });
    }
    let first = Bytes::from(format!("retry: {}\n\n", retry.as_millis()));
    let mut response = warp::reply::stream(stream::iter([Ok(first)]).chain(body)).into_response();
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // A proxy that compresses would collect the stream in a buffer; it may not transform.
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    // nginx would collect the stream in its buffer.
    answer.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The cursor that a client brings. First the header, which a browser sends when it comes back by
/// itself; then `lastEventId`, which stand-ins for a browser's `EventSource` send, since they
/// cannot set the header; both are newer than the `cursor` of the URL that the client began with.
/// The first two are empty as long as there was no event.
fn cursor<'a>(headers: &'a HeaderMap, query: &'a Query<'_>) -> Option<&'a str> {
    let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    let last = header.filter(|id| !id.is_empty());
    last.or_else(|| query.first("lastEventId").filter(|id| !id.is_empty()))
        .or_else(|| query.first("cursor"))
}

/// A stream of events as a session's transport. Its peer sends nothing: it is there, or gone.
struct EventStream {
    activity: LastActivity,
    sender: mpsc::Sender<Bytes>,
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
    outbox: Outbox<Bytes>,
}

impl Stream for EventStream {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.gone.as_mut().poll(cx).map(|()| Some(Incoming::Close(Close::Gone)))
    }
}

impl Transport for EventStream {
    fn drop_unsent(&mut self) -> Dropped {
        self.outbox.drop_unsent()
    }
}

impl Sink<Outgoing> for EventStream {
    type Error = Close;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Close>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Outgoing) -> Result<(), Close> {
        match frame {
            Outgoing::Text { text, cursor, kind } => {
                // The text has no line break: none is left in what the relay writes.
                let mut event = format!("id: {cursor}\ndata: ").into_bytes();
                event.extend_from_slice(&text);
                event.extend_from_slice(b"\n\n");
                self.outbox.push(event.into(), kind, cursor);
            }
            // A comment, for proxies that end a connection which is silent.
            Outgoing::Ping if self.outbox.is_empty() => {
                self.outbox.insert(0, Bytes::from_static(b":\n\n"))
            }
            Outgoing::Ping => {}
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Close>> {
        while !self.outbox.is_empty() {
            ready!(self.sender.poll_ready(cx)).map_err(|_| Close::Gone)?;
            // The channel has room once the connection has taken the event before. Whether the peer
            // takes anything is timed by the connection: see `server::timeouts`.
            self.activity.note();
            if let Some(event) = self.outbox.pop_front() {
                self.sender.start_send(event).map_err(|_| Close::Gone)?;
            }
        }
        // Taken, not only handed over: the channel has room again once the connection has.
        self.sender.poll_ready(cx).map_err(|_| Close::Gone)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Close>> {
        self.poll_flush(cx)
    }
}
