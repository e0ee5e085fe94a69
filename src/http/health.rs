//! `/healthz`: the process is alive. `/readyz`: it can do what it is there for, and if not, what is missing.

use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, json};
use warp::Reply;
use warp::reply::Response;

use super::Relay;

pub(super) fn alive() -> Response {
    no_store(
        warp::reply::json(&json!({"status": "alive", "release": crate::migrate::RELEASE})).into_response(),
    )
}

/// 200 if events can be stored and are heard of; 503 otherwise. Each check is `"ok"` or what is wrong.
pub(super) fn ready(relay: &Relay) -> Response {
    let hearing = relay.listener.hearing();
    let checks: [(&str, Option<String>); 5] = [
        ("database", (!relay.writer.is_connected()).then(|| "no connection to write on".to_owned())),
        ("migrations", hearing.schema),
        ("tail", (!relay.tail.is_connected()).then(|| "no connection to read new events on".to_owned())),
        ("listener", (!hearing.proven).then(|| "notifications are not heard".to_owned())),
        ("lock", hearing.blocker.map(|blocker| blocker.to_string())),
    ];
    let draining = relay.drain.is_draining();
    // A lock that is held too long stops every replica: taking this one out of the balancer would not help.
    let ready = !draining && checks.iter().all(|(name, wrong)| wrong.is_none() || *name == "lock");
    let checks: Map<_, _> = checks
        .into_iter()
        .map(|(name, wrong)| (name.to_owned(), wrong.unwrap_or("ok".to_owned()).into()))
        .collect();
    let mut response =
        warp::reply::json(&json!({"ready": ready, "draining": draining, "checks": checks})).into_response();
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    no_store(response)
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
