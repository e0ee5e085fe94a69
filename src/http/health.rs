//! `/healthz`: the process is alive. `/readyz`: this replica can store and deliver events, and if
//! not, why.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use warp::Reply;
use warp::reply::Response;

use super::context::Relay;

/// How long a cause that all replicas share may last before this one says that it is not ready. A
/// balancer that takes every replica out answers clients itself, at once, and they lose the POSTs
/// that the relay would have held until the database is back.
const SHARED_CAUSE_GRACE: Duration = Duration::from_secs(30);

pub(super) fn alive() -> Response {
    no_store(
        warp::reply::json(&json!({"status": "alive", "release": crate::migrate::RELEASE}))
            .into_response(),
    )
}

/// One part, and its fault if it has one.
struct Finding {
    name: &'static str,
    wrong: Option<String>,
    /// Whether it makes this replica not ready.
    unready: bool,
}

impl Finding {
    /// A cause that other replicas may share: it counts once it has lasted.
    fn shared(name: &'static str, wrong: Option<(String, Instant)>) -> Self {
        let unready =
            wrong.as_ref().is_some_and(|(_, since)| since.elapsed() >= SHARED_CAUSE_GRACE);
        Self { name, wrong: wrong.map(|(wrong, _)| wrong), unready }
    }

    /// A cause that lies in this replica alone.
    fn own(name: &'static str, wrong: Option<String>) -> Self {
        Self { name, unready: wrong.is_some(), wrong }
    }

    /// A cause that is mentioned and does not make the replica unready.
    fn mentioned(name: &'static str, wrong: Option<String>) -> Self {
        Self { name, wrong, unready: false }
    }
}

/// 200 if events can be stored and are delivered; 503 otherwise, for a cause that other replicas
/// may share once it has lasted. The body says of each check at once whether it is `"ok"` or what
/// is wrong, in PostgreSQL's words, and to which server each connection leads.
///
/// Only those who may see the relay are told what is wrong: PostgreSQL's words and the servers'
/// names are no one else's business.
pub(super) fn ready(relay: &Relay, sees_relay: bool) -> Response {
    let status = relay.listener.status();
    let trouble = relay.writer.trouble().map(|trouble| (trouble.cause, trouble.since));
    let away = relay.tail.away_since();
    let checks = [
        Finding::own("start", relay.start.waits_for()),
        Finding::shared("database", trouble),
        Finding::own("migrations", status.obstacles.schema),
        Finding::shared(
            "tail",
            away.map(|since| ("no connection to read new events on".to_owned(), since)),
        ),
        // Without notifications the tail reads several times a second: events come a little later.
        Finding::mentioned(
            "listener",
            status
                .unproven
                .map(|(why, _)| format!("it is not proven that notifications arrive: {why}")),
        ),
        // A lock that is held too long stops every replica: taking this one out of the balancer
        // would not help.
        Finding::mentioned("lock", status.obstacles.blocker.map(|blocker| blocker.to_string())),
        // Likewise all replicas have one role.
        Finding::mentioned("privileges", status.obstacles.privileges),
    ];
    let draining = relay.drain.is_draining();
    let ready = !draining && checks.iter().all(|check| !check.unready);
    if !sees_relay {
        return answer(ready, &json!({"ready": ready, "draining": draining}));
    }
    let checks: Map<_, _> = checks
        .into_iter()
        .map(|check| (check.name.to_owned(), check.wrong.unwrap_or("ok".to_owned()).into()))
        .collect();
    let servers = relay.agreement.servers();
    let body = json!({"ready": ready, "draining": draining, "checks": checks, "servers": servers});
    answer(ready, &body)
}

fn answer(ready: bool, body: &Value) -> Response {
    let mut response = warp::reply::json(body).into_response();
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    no_store(response)
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
