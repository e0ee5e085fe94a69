//! `GET /ws/connect`: from a request to a session.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use warp::reply::Response;

use super::Relay;
use super::gate::connections::ConnectionPermit as Peer;
use super::server::timeouts::{LastActivity, TimeoutStream};
use super::problem::Problem;
use super::query::Query;
use super::session::{Close, ResetReason, Session, Start, Trim};
use super::socket::Socket;
use crate::event::ClassId;

/// How long a subscriber waits at the door for the database to say where the log ends: shorter than
/// clients wait for an answer, so that they are told.
const POSITION_PATIENCE: Duration = Duration::from_secs(3);
/// How long the connection may take to become a WebSocket once the answer is given.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(10);
/// Most classes in one subscription.
const MAX_CLASSES: usize = 64;

/// The one subprotocol that is spoken here; a client need not ask for it.
const SUBPROTOCOL: &str = "progress-relay";

/// A subscriber that may begin.
pub(super) struct Admitted {
    pub(super) classes: Vec<ClassId>,
    pub(super) start: Start,
    pub(super) reset: Option<ResetReason>,
    pub(super) trim: Option<Trim>,
}

/// Why a subscriber may not begin.
pub(super) struct Refusal {
    pub(super) close: Close,
    /// The parameter of the URL that is at fault, if one is.
    pub(super) parameter: Option<&'static str>,
    pub(super) reason: String,
}

impl Refusal {
    fn later(reason: impl Into<String>) -> Self {
        Self { close: Close::TryAgainLater, parameter: None, reason: reason.into() }
    }

    fn bad(parameter: &'static str, reason: impl Into<String>) -> Self {
        Self { close: Close::NotAllowed, parameter: Some(parameter), reason: reason.into() }
    }

    /// For a close frame: with the parameter's name.
    fn said(&self) -> String {
        match self.parameter {
            Some(parameter) => format!("{parameter} {}", self.reason),
            None => self.reason.clone(),
        }
    }
}

/// Decides where a subscriber starts, or why it may not.
pub(super) async fn admit(
    relay: &Relay,
    peer: &Peer,
    query: &Query<'_>,
    cursor: Option<&str>,
) -> Result<Admitted, Refusal> {
    if !peer.is_admitted() {
        return Err(Refusal::later("the relay has too many connections"));
    }
    if relay.drain.closing().is_cancelled() {
        return Err(Refusal::later("the relay is going away"));
    }
    let classes = query.classes().map_err(|error| Refusal::bad("class", error.to_string()))?;
    if classes.len() > MAX_CLASSES {
        return Err(Refusal::bad("class", format!("names more than {MAX_CLASSES} classes")));
    }
    let trim = Trim::parse(query).map_err(|wrong| Refusal::bad(wrong.parameter, wrong.reason))?;
    // What was acknowledged before this request, by any replica, is within it; what is POSTed after
    // the answer is not.
    let position = relay
        .tail
        .position(POSITION_PATIENCE)
        .await
        .map_err(|error| Refusal::later(error.to_string()))?;
    let (start, reset) = Start::at(cursor, position);
    Ok(Admitted { classes, start, reset, trim })
}

/// Answers the handshake and leaves a session behind.
pub(super) async fn websocket(
    relay: Arc<Relay>,
    peer: Peer,
    method: Method,
    headers: HeaderMap,
    query: String,
    upgrade: Option<OnUpgrade>,
) -> Result<Response, Problem> {
    if method != Method::GET {
        return Err(upgrade_required("a WebSocket begins with a GET"));
    }
    let key = handshake_key(&headers)?;
    let upgrade = upgrade.ok_or_else(|| upgrade_required("the connection cannot be upgraded"))?;
    let query = Query::parse(&query);
    let admitted = match relay.access.check(&headers) {
        Ok(()) => admit(&relay, &peer, &query, query.first("cursor")).await,
        Err(problem) => Err(Refusal {
            close: Close::NotAllowed,
            parameter: None,
            reason: problem.detail().to_owned(),
        }),
    };
    let protocol = offers(&headers, SUBPROTOCOL);
    let sessions = relay.drain.sessions().clone();
    sessions.spawn(async move {
        let Ok(Ok(upgraded)) = tokio::time::timeout(UPGRADE_PATIENCE, upgrade).await else {
            return;
        };
        let Some((io, read)) = take_apart(upgraded) else { return };
        let life = LastActivity::new();
        let socket = Socket::new(io, read, life.clone());
        let (socket, close) = match admitted {
            Ok(admitted) => {
                let session = Session::new(
                    relay.sources(),
                    admitted.classes,
                    admitted.start,
                    admitted.trim,
                    socket,
                    life,
                    &relay.drain,
                );
                session.run(admitted.reset).await
            }
            Err(refusal) => {
                let (close, reason) = (refusal.close, refusal.said());
                tracing::debug!(?close, "a subscriber is refused: {reason}");
                // Said by a close code and not by a status: a browser could not see the status.
                return socket.farewell_because(close, &reason).await;
            }
        };
        tracing::debug!(?close, "a subscriber left");
        socket.farewell(close).await;
        // Counted until here.
        drop(peer);
    });
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

/// Whether the client offers a subprotocol. Its libraries end a connection whose answer names none
/// of those they offered.
fn offers(headers: &HeaderMap, protocol: &str) -> bool {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offered
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|offered| offered.trim() == protocol))
}

/// The TCP connection below, and what the peer has sent already.
fn take_apart(upgraded: Upgraded) -> Option<(tokio::net::TcpStream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<TimeoutStream>>().ok()?;
    Some((parts.io.into_inner().into_stream(), parts.read_buf))
}

/// Checks the request as RFC 6455, section 4.2.1, has it; returns the value of
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
            "the WebSocket handshake is not one",
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
