//! From a request to its answer: the gate, then the handler that the router's table names, then the
//! headers of the path's CORS and those that protect the page. They stand on every answer, errors
//! included, and are added here and nowhere else.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Buf;
use futures::Stream;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use super::base_path::Place;
use super::context::Relay;
use super::gate::Admission;
use super::gate::cors::Cors;
use super::policy::Policy;
use super::problem::{Problem, ProblemName};
use super::request::{Door, Inbound, Request};
use super::router::{Found, Handler, find};
use super::subscribe::{sse, websocket};
use super::{api, audit, dashboard, health, ingest, metrics, sign_in};
use crate::repeated::Repeated;

/// Requests that warp rejects although no filter here does.
static UNFORESEEN: Repeated = Repeated::new();

/// The router as a filter of warp's. It rejects nothing: every request has an answer here.
pub(super) fn filter(relay: Arc<Relay>) -> BoxedFilter<(Response,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let of_request = Arc::clone(&relay);
    let request = warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        // The server has put it there.
        .and(warp::ext::get::<Inbound>())
        .and(warp::ext::optional::<OnUpgrade>())
        .map(
            move |method,
                  full_path: FullPath,
                  query,
                  headers: HeaderMap,
                  inbound: Inbound,
                  upgrade: Option<OnUpgrade>| {
                let client = of_request.gate.client(&inbound, &headers);
                let permit = inbound.permit.of_request(client.address);
                let full_path = full_path.as_str().to_owned();
                let door = inbound.door;
                Request { method, full_path, query, headers, door, client, permit, upgrade }
            },
        );
    request
        .and(warp::body::stream())
        .then(move |request, body| {
            let relay = Arc::clone(&relay);
            async move { answer(relay, request, body).await }
        })
        .recover(unforeseen)
        .unify()
        .boxed()
}

async fn answer<S, B>(relay: Arc<Relay>, request: Request, body: S) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let mut body = pin!(body);
    let Located { place, path, found } = locate(&relay, &request);
    let policy = found.policy;
    let admission = relay.gate.admit(policy, &request).await;
    let mut response = if place == Place::WithoutSlash && request.door == Door::Main {
        with_slash(&relay, &request)
    } else if let Some(handler) = found.handler {
        let admitted = audit::admitted(&relay, &admission);
        let asked = Asked { path, parameter: found.parameter };
        let response = handle(&relay, handler, admission, &request, asked, body.as_mut()).await;
        if let (Handler::Api(operation), Some(admitted)) = (handler, admitted) {
            audit::note_operation(&relay, operation, &admitted, &request, &response);
        }
        response
    } else if let Err(problem) = admission.caller() {
        problem.into_response()
    } else {
        without_handler(&relay, &request, policy, found.allow)
    };
    // The answer is 200 only if the body was read to its end.
    if policy.has_body && response.status() != StatusCode::OK {
        response = ingest::body::discard(body, response).await;
    }
    if response.status() == StatusCode::SERVICE_UNAVAILABLE
        && let Some(ProblemName(cause)) = response.extensions().get()
    {
        relay.metrics.unavailable.inc(cause);
    }
    // No page reads the answer to a handshake.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let host = request.client.host(&request.headers);
        relay.security.apply(policy, &request.client, host, response.headers_mut());
        policy.cors.apply(relay.gate.origins(), &request.headers, response.headers_mut());
    }
    response
}

/// A request's place in the table.
struct Located<'a> {
    place: Place<'a>,
    /// The path below the base path.
    path: &'a str,
    found: Found<'a>,
}

/// The table's answer to a request, by the listener that it came by and the path below the base
/// path.
fn locate<'a>(relay: &Relay, request: &'a Request) -> Located<'a> {
    let place = relay.base_path.place(&request.full_path);
    let path = if let Place::Inside(path) = place { path } else { &*request.full_path };
    let mut found = find(&request.method, path);
    let is_there = match (request.door, found.handler) {
        // Probes are told the root by habit.
        (_, Some(Handler::Alive | Handler::Ready)) => true,
        (Door::Admin, handler) => matches!(handler, Some(Handler::Metrics)),
        // Where operators have a listener of their own, metrics are there alone.
        (Door::Main, Some(Handler::Metrics)) if relay.has_admin_door => false,
        (Door::Main, _) => matches!(place, Place::Inside(_)),
    };
    if !is_there {
        (found.handler, found.allow) = (None, None);
        // A mistyped URL of a client is answered as such, so that its page may read why.
        let is_near = found.policy.cors == Cors::AnyOrigin;
        found.policy = if is_near { &Policy::NOT_STORED } else { &Policy::NOTHING };
    }
    if request.door == Door::Admin {
        found.policy = &Policy::PROBE;
    }
    Located { place, path, found }
}

/// Sends a browser from the base path without its slash to the page. 308 keeps the method.
fn with_slash(relay: &Relay, request: &Request) -> Response {
    let mut location = relay.base_path.as_str().to_owned();
    if !request.query.is_empty() {
        location.push('?');
        location.push_str(&request.query);
    }
    let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(http::header::LOCATION, location);
    }
    response
}

/// The path below the base path, and the part of it that stands for the row's parameter.
#[derive(Clone, Copy)]
struct Asked<'a> {
    path: &'a str,
    parameter: &'a str,
}

/// Runs the handler, or answers a refusal in the form that the route's clients understand.
async fn handle<S, B>(
    relay: &Arc<Relay>,
    handler: Handler,
    admission: Admission,
    request: &Request,
    asked: Asked<'_>,
    body: Pin<&mut S>,
) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    match handler {
        Handler::WebSocket => return websocket::open(relay, admission, request).await,
        Handler::EventStream => return sse::open(relay, admission, request).await,
        _ => {}
    }
    let caller = match admission.caller() {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    match handler {
        Handler::Ingest => ingest::post(relay, &caller, request, body).await,
        Handler::Discard => StatusCode::NO_CONTENT.into_response(),
        Handler::Api(operation) => {
            api::answer(relay, operation, &caller, (request, asked.parameter), body).await
        }
        Handler::Dashboard => dashboard::serve(asked.path, &request.headers).await,
        Handler::SignIn(step) => sign_in::answer(relay, step, &caller, request, body).await,
        Handler::Hub(step) => sign_in::hub(relay, step, request).await,
        Handler::Alive => health::alive(),
        Handler::Ready => health::ready(relay, relay.gate.sees_relay(request).await),
        Handler::Metrics => metrics::render(relay),
        // Answered above.
        Handler::WebSocket | Handler::EventStream => Problem::not_found().into_response(),
    }
}

/// OPTIONS, 405 and 404.
fn without_handler(
    relay: &Relay,
    request: &Request,
    policy: &Policy,
    allow: Option<HeaderValue>,
) -> Response {
    // So that a page with a mistyped URL gets the 404: a browser whose preflight is refused does
    // not send the POST.
    let near = (policy.cors == Cors::AnyOrigin).then(|| HeaderValue::from_static("POST, OPTIONS"));
    if request.method == Method::OPTIONS
        && let Some(allow) = allow.as_ref().or(near.as_ref())
    {
        return policy.cors.preflight(relay.gate.origins(), &request.headers, allow);
    }
    match allow {
        Some(allow) => Problem::method_not_allowed(&allow).into_response(),
        None => Problem::not_found().into_response(),
    }
}

/// The answer to a request that a filter rejected.
async fn unforeseen(rejection: Rejection) -> Result<Response, Infallible> {
    if let Some(due) = UNFORESEEN.met("rejected") {
        tracing::error!(?rejection, "the router rejected a request that every row foresees{due}");
    }
    let problem = Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "unforeseen",
        "the relay does not know what to answer",
        "this is a mistake in the relay: its log has more",
    );
    Ok(problem.into_response())
}
