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
use super::connection::Peer;
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
            |method: Method, relay: Arc<Relay>, peer: Peer, headers: HeaderMap, query: String, body| async move {
                match method {
                    _ if peer.is_refused() => ingest::refuse(body, crowded().into_response()).await,
                    Method::POST => ingest::post(relay, headers, query, body).await,
                    Method::OPTIONS => ingest::preflight(&headers),
                    _ => ingest::refuse(body, not_here().into_response()).await,
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
                Method::POST => ingest::refuse(body, StatusCode::NO_CONTENT.into_response()).await,
                Method::OPTIONS => ingest::preflight(&headers),
                _ => ingest::refuse(body, not_here().into_response()).await,
            }
        });
    let websocket = warp::path!("ws" / "connect")
        .and(get())
        .and(relay.clone())
        .and(peer())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(query())
        .and(warp::ext::optional::<OnUpgrade>())
        .then(|relay: Arc<Relay>, peer, method, headers, query, upgrade| async move {
            subscribe::websocket(relay, peer, method, headers, query, upgrade)
                .await
                .unwrap_or_else(Problem::into_response)
        });
    let events = warp::path!("api" / "class" / "stream")
        .and(get())
        .and(relay.clone())
        .and(peer())
        .and(warp::header::headers_cloned())
        .and(query())
        .then(|relay: Arc<Relay>, peer, headers, query| async move {
            events::stream(relay, peer, headers, query).await.unwrap_or_else(Problem::into_response)
        });
    let api = warp::path::full()
        .and_then(
            |path: FullPath| async move { Route::of(path.as_str()).ok_or_else(warp::reject::not_found) },
        )
        .and(warp::method())
        .and(relay.clone())
        .and(peer())
        .and(warp::header::headers_cloned())
        .and(query())
        .then(|route: Route, method, relay: Arc<Relay>, peer: Peer, headers, query| async move {
            if peer.is_refused() {
                return crowded().into_response();
            }
            api::answer(relay, route, method, headers, query).await
        });
    let page = warp::path::full()
        .and_then(
            |path: FullPath| async move { page::asset(path.as_str()).ok_or_else(warp::reject::not_found) },
        )
        .and(warp::method())
        .and(relay.clone())
        .and(warp::header::headers_cloned())
        .map(|asset, method, relay: Arc<Relay>, headers: HeaderMap| match method {
            Method::GET | Method::HEAD => page::serve(&relay, asset, &headers),
            _ => page::method_not_allowed(),
        });
    let alive = warp::path!("healthz").and(get()).map(health::alive);
    let ready =
        warp::path!("readyz").and(get()).and(relay.clone()).map(|relay: Arc<Relay>| health::ready(&relay));
    let metrics =
        warp::path!("metrics").and(get()).and(relay).map(|relay: Arc<Relay>| metrics::metrics(&relay));
    ingest
        .or(discarded)
        .unify()
        .or(websocket)
        .unify()
        .or(events)
        .unify()
        .or(api)
        .unify()
        .or(page)
        .unify()
        .or(alive)
        .unify()
        .or(ready)
        .unify()
        .or(metrics)
        .unify()
        .recover(recover)
        .unify()
        .boxed()
}

/// GET, and HEAD, whose answer hyper sends without its body.
fn get() -> impl Filter<Extract = (), Error = Rejection> + Copy {
    warp::get().or(warp::head()).unify()
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
    // A path that is there rejects a method; any other says that it is not there. Both come together, so the method first.
    let problem = if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        Problem::method_not_allowed("GET, HEAD")
    } else if rejection.is_not_found() {
        Problem::not_found()
    } else {
        if let Some(due) = UNFORESEEN.met("rejected") {
            tracing::error!(?rejection, "a request was rejected in a way that no route foresees{due}");
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
