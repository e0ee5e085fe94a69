//! `GET /ws/connect`: the handshake, and the task that serves a WebSocket.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use warp::Reply;
use warp::reply::Response;

use super::opening::{Opening, Refusal};
use super::session::messages::{Close, Incoming};
use super::socket::Socket;
use crate::access::Denial;
use crate::http::context::Relay;
use crate::http::gate::Admission;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::request::Request;
use crate::http::server::stream::ClientStream;
use crate::http::server::timeouts::{LastActivity, TimeoutStream};

/// How long the connection may take to become a WebSocket once the answer is given.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a peer without a credential may take to send one.
const AUTH_PATIENCE: Duration = Duration::from_secs(5);
/// The largest task of a session, in bytes: each dashboard costs it. A task has room for the
/// largest future that it ever awaits, even if that is over at once: such a future must be boxed.
const MAX_TASK: usize = 4 * 1024;
/// The one subprotocol of the relay. A client need not ask for it.
const SUBPROTOCOL: &str = "progress-relay";

/// Answers the handshake, and starts a task for the session. A subscription that may not begin is
/// accepted and closed with a code: a browser shows a page the code, and not an answer's status.
pub(in crate::http) async fn open(
    relay: &Arc<Relay>,
    admission: Admission,
    request: &Request,
) -> Response {
    try_open(relay, admission, request).await.unwrap_or_else(Problem::into_response)
}

async fn try_open(
    relay: &Arc<Relay>,
    admission: Admission,
    request: &Request,
) -> Result<Response, Problem> {
    if request.method != Method::GET {
        return Err(upgrade_required("a WebSocket begins with a GET"));
    }
    let key = handshake_key(&request.headers)?;
    let upgrade = request.upgrade.clone();
    let upgrade = upgrade.ok_or_else(|| upgrade_required("the connection cannot be upgraded"))?;
    // A page cannot put a header into the handshake, and a token in a URL is written into logs on
    // the way: so the token may come in the first message.
    let awaits_token = matches!(admission, Admission::Denied(Denial::Missing));
    let text = request.query.clone();
    let opening = if awaits_token { None } else { Some(open_by(relay, admission, &text).await) };
    let protocol = offers(&request.headers, SUBPROTOCOL);
    let (relay, permit) = (Arc::clone(relay), request.permit.clone());
    let address = request.client.address;
    let sessions = relay.drain.sessions().clone();
    let session = async move {
        let Ok(Ok(upgraded)) = tokio::time::timeout(UPGRADE_PATIENCE, upgrade).await else {
            return;
        };
        let Some((io, read)) = take_apart(upgraded) else { return };
        let activity = LastActivity::new();
        let mut socket = Socket::new(io, read, activity.clone());
        let opening = match opening {
            Some(opening) => opening,
            // Boxed: the future is three times as large as a session, which would keep its room.
            None => Box::pin(introduced(&relay, &mut socket, &text, address)).await,
        };
        let opening = match opening {
            Ok(opening) => opening,
            Err(refusal) => {
                let (close, reason) = (refusal.close, refusal.close_reason());
                tracing::debug!(?close, "a subscriber is refused: {reason}");
                return socket.close_with_reason(close, &reason).await;
            }
        };
        let (socket, close) = opening.session(&relay, socket, activity, address).run().await;
        tracing::debug!(?close, "a subscriber left");
        socket.close(close).await;
        // The connection is counted until here.
        drop(permit);
    };
    debug_assert!(size_of_val(&session) <= MAX_TASK, "{} bytes", size_of_val(&session));
    sessions.spawn(session);
    let mut response = Response::new(String::new().into());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    if protocol {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok(response)
}

async fn open_by(relay: &Relay, admission: Admission, query: &str) -> Result<Opening, Refusal> {
    let query = Query::parse(query);
    Opening::decide(relay, admission, &query, query.first("cursor")).await
}

/// Waits for the peer's token, and decides by it.
async fn introduced<S>(
    relay: &Relay,
    socket: &mut S,
    query: &str,
    address: IpAddr,
) -> Result<Opening, Refusal>
where
    S: Stream<Item = Incoming> + Unpin,
{
    let token = async {
        loop {
            match socket.next().await {
                Some(Incoming::Auth(credential)) => return Ok(credential),
                Some(Incoming::Ping) => {}
                Some(Incoming::Close(close)) => return Err(Refusal::gone(close)),
                None => return Err(Refusal::gone(Close::Gone)),
            }
        }
    };
    let credential = match tokio::time::timeout(AUTH_PATIENCE, token).await {
        Ok(credential) => credential?,
        Err(_) => return Err(Refusal::denied(&Denial::Missing)),
    };
    let admission = relay.gate.admit_subscriber(credential, &Query::parse(query), address).await;
    open_by(relay, admission, query).await
}

/// Whether the client offers a subprotocol. Its libraries end a connection whose answer names none
/// of those they offered.
fn offers(headers: &HeaderMap, protocol: &str) -> bool {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offered
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|offered| offered.trim() == protocol))
}

/// The stream below, and the bytes that the peer has sent already.
fn take_apart(upgraded: Upgraded) -> Option<(ClientStream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<TimeoutStream>>().ok()?;
    Some((parts.io.into_inner().into_stream(), parts.read_buf))
}

/// Checks the handshake as RFC 6455, section 4.2.1, demands; returns the value of
/// `Sec-WebSocket-Accept`.
fn handshake_key(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let has = |name: header::HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Err(upgrade_required(
            "this path is a WebSocket's: send Connection: Upgrade and Upgrade: websocket",
        ));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(upgrade_required("Sec-WebSocket-Version must be 13"));
    }
    // 16 bytes in base64.
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|key| key.len() == 24 && key.as_bytes().ends_with(b"=="));
    let accept = key.map(|key| derive_accept_key(key.as_bytes()));
    accept.and_then(|accept| HeaderValue::try_from(accept).ok()).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-handshake",
            "the WebSocket handshake is malformed",
            "Sec-WebSocket-Key must be 16 bytes in base64",
        )
    })
}

fn upgrade_required(detail: &str) -> Problem {
    Problem::new(
        StatusCode::UPGRADE_REQUIRED,
        "upgrade-required",
        "this path is a WebSocket's",
        detail,
    )
    .with_header(header::UPGRADE, HeaderValue::from_static("websocket"))
    .with_header(header::CONNECTION, HeaderValue::from_static("upgrade"))
    .with_header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
}
