//! Which path is answered by what.

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use super::api::{self, Route};
use super::gate::connections::ConnectionPermit as Peer;
use super::problem::Problem;
use super::{Relay, events, health, ingest, metrics, page, subscribe};
use crate::repeated::Repeated;

/// Requests that no route foresees.
static UNFORESEEN: Repeated = Repeated::new();

/// All of them. Nothing is rejected: every request has an answer here.
pub(super) fn routes(relay: Arc<Relay>) -> BoxedFilter<(Response,)> {
    let relay = warp::any().map(move || relay.clone());
    let query = || warp::query::raw().or(warp::any().map(String::new)).unify();
    let ingest = warp::path!("student-progress")
        .or(warp::path!("api" / "v1" / "events"))
        .unify()
        .and(warp::method())
        .and(relay.clone())
        .and(peer())
        .and(warp::header::headers_cloned())
        .and(query())
        .and(warp::body::stream())
        .then(
            |method: Method,
             relay: Arc<Relay>,
             peer: Peer,
             headers: HeaderMap,
             query: String,
             body| async move {
                match method {
                    _ if !peer.is_admitted() => {
                        ingest::refuse(&headers, body, crowded().into_response()).await
                    }
                    Method::POST => ingest::post(relay, headers, query, body).await,
                    Method::OPTIONS => ingest::preflight(&headers),
                    _ => ingest::refuse(&headers, body, not_here().into_response()).await,
                }
            },
        );
    // An old client's second, anonymous copy of every run.
    let discarded = warp::path!("cell-monitor")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(|method: Method, headers: HeaderMap, body| async move {
            match method {
                Method::POST => {
                    ingest::refuse(&headers, body, StatusCode::NO_CONTENT.into_response()).await
                }
                Method::OPTIONS => ingest::preflight(&headers),
                _ => ingest::refuse(&headers, body, not_here().into_response()).await,
            }
        });
    // Beside those paths, where a client with a mistyped URL must see why; and its page may read of
    // it.
    let beside = warp::path("student-progress")
        .or(warp::path("cell-monitor"))
        .unify()
        .or(warp::path("api").and(warp::path("v1")))
        .unify()
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(|method: Method, headers: HeaderMap, body| async move {
            match method {
                Method::OPTIONS => ingest::preflight(&headers),
                _ => ingest::refuse(&headers, body, Problem::not_found().into_response()).await,
            }
        });
    let subscribers =
        warp::path!("ws" / "connect")
            .map(|| Subscribing::WebSocket)
            .or(warp::path!("api" / "class" / "stream").map(|| Subscribing::Events))
            .unify()
            .and(warp::method())
            .and(relay.clone())
            .and(peer())
            .and(warp::header::headers_cloned())
            .and(query())
            .and(warp::ext::optional::<OnUpgrade>())
            .then(
                |how,
                 method: Method,
                 relay: Arc<Relay>,
                 peer,
                 headers: HeaderMap,
                 query,
                 upgrade| async move {
                    let (asked, asked_of) = (headers.clone(), Arc::clone(&relay));
                    let answer = match (&method, how) {
                        (&Method::OPTIONS, _) => {
                            Ok(may_read(&relay, &headers, relay.access.options(&headers, READ)))
                        }
                        (&Method::GET | &Method::HEAD, Subscribing::WebSocket) => {
                            subscribe::websocket(relay, peer, method, headers, query, upgrade).await
                        }
                        (&Method::GET | &Method::HEAD, Subscribing::Events) => {
                            events::stream(relay, peer, headers, query).await
                        }
                        _ => Err(Problem::method_not_allowed(READ)),
                    };
                    answer.unwrap_or_else(|problem| {
                        may_read(&asked_of, &asked, problem.into_response())
                    })
                },
            );
    let api = warp::path::full()
        .and_then(|path: FullPath| async move {
            Route::of(path.as_str()).ok_or_else(warp::reject::not_found)
        })
        .and(warp::method())
        .and(relay.clone())
        .and(peer())
        .and(warp::header::headers_cloned())
        .and(query())
        .then(|route: Route, method, relay: Arc<Relay>, peer: Peer, headers, query| async move {
            if !peer.is_admitted() {
                return crowded().into_response();
            }
            api::answer(relay, route, method, headers, query).await
        });
    let page = warp::path::full()
        .and_then(|path: FullPath| async move {
            page::asset(path.as_str()).ok_or_else(warp::reject::not_found)
        })
        .and(warp::method())
        .and(relay.clone())
        .and(warp::header::headers_cloned())
        .map(|asset, method, relay: Arc<Relay>, headers: HeaderMap| match method {
            Method::GET | Method::HEAD => page::serve(&relay, asset, &headers),
            Method::OPTIONS => relay.access.options(&headers, READ),
            _ => Problem::method_not_allowed(READ).into_response(),
        });
    // For whoever operates the relay: under any name and to anyone who reaches it.
    let operation = warp::path!("healthz")
        .map(|| Operation::Alive)
        .or(warp::path!("readyz").map(|| Operation::Ready))
        .unify()
        .or(warp::path!("metrics").map(|| Operation::Metrics))
        .unify()
        .and(warp::method())
        .and(relay)
        .and(warp::header::headers_cloned())
        .map(|what, method: Method, relay: Arc<Relay>, headers: HeaderMap| {
            let answer = match (&method, what) {
                (&Method::OPTIONS, _) => relay.access.options(&headers, READ),
                (&Method::GET | &Method::HEAD, Operation::Alive) => health::alive(),
                (&Method::GET | &Method::HEAD, Operation::Ready) => health::ready(&relay),
                (&Method::GET | &Method::HEAD, Operation::Metrics) => metrics::metrics(&relay),
                _ => Problem::method_not_allowed(READ).into_response(),
            };
            may_read(&relay, &headers, answer)
        });
    ingest
        .or(discarded)
        .unify()
        .or(beside)
        .unify()
        .or(subscribers)
        .unify()
        .or(api)
        .unify()
        .or(page)
        .unify()
        .or(operation)
        .unify()
        .recover(recover)
        .unify()
        .boxed()
}

/// The methods of a path that is only read. Of HEAD, hyper sends the answer without its body.
const READ: &str = "GET, HEAD, OPTIONS";

/// The two ways to subscribe.
#[derive(Clone, Copy)]
enum Subscribing {
    WebSocket,
    Events,
}

/// What an operator asks for.
#[derive(Clone, Copy)]
enum Operation {
    Alive,
    Ready,
    Metrics,
}

/// The answer, with the allowed origin whose page may read it.
fn may_read(relay: &Relay, headers: &HeaderMap, mut answer: Response) -> Response {
    relay.access.name_origin(headers, answer.headers_mut());
    answer
}

/// Who asks; put there by the server.
fn peer() -> impl Filter<Extract = (Peer,), Error = Rejection> + Copy {
    warp::ext::get::<Peer>()
}

fn not_here() -> Problem {
    Problem::method_not_allowed("POST, OPTIONS")
}

fn crowded() -> Problem {
    Problem::unavailable(
        "too-many-connections",
        "the relay has too many connections",
        "try again later, or raise --max-connections",
        std::time::Duration::from_secs(5),
    )
}

/// What no route took.
async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let problem = if rejection.is_not_found() {
        Problem::not_found()
    } else {
        if let Some(due) = UNFORESEEN.met("rejected") {
            tracing::error!(
                ?rejection,
                "a request was rejected in a way that no route foresees{due}"
            );
        }
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "unforeseen",
            "the relay does not know what to answer",
            "this is a mistake in the relay: its log has more",
        )
    };
    Ok(problem.into_response())
}
