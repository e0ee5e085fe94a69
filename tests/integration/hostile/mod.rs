//! What an enemy tries: to read secrets where they should not stand, to reach a route without its
//! right, to act by a browser that has signed in, to wear the relay down.

// CSRF, session fixation, DNS rebinding.
mod browsers;
// Wrong tokens beside a class at work; credentials that are far too long.
mod flood;
// Paths that are written in another way, directly and through proxies.
mod paths;
// No token, no cookie and no student's code in logs, metrics, errors and answers.
mod redaction;

use bytes::Bytes;
use progress_relay::client::http::Response;
use serde_json::json;

use crate::support::secrecy::keep;
use crate::support::{Issuer, Relay};

/// Every route that needs a right, with a method that it has.
const GUARDED: [(&str, &str); 14] = [
    ("POST", "/student-progress"),
    ("POST", "/api/v1/events"),
    ("GET", "/ws/connect"),
    ("GET", "/api/class/stream"),
    ("GET", "/api/class/summary"),
    ("GET", "/api/classes"),
    ("GET", "/api/me"),
    ("GET", "/api/class/events"),
    ("GET", "/api/class/cells"),
    ("GET", "/api/class/activity"),
    ("GET", "/api/class/export"),
    ("GET", "/api/audit"),
    ("POST", "/api/class/students/s000/help/resolve"),
    ("GET", "/metrics"),
];

/// Sends a request on a new connection.
async fn send(
    relay: &Relay,
    (method, target): (&str, &str),
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response {
    let mut connection = relay.connection().await;
    connection.request(method, target, headers, body.into()).await.expect("an answer")
}

/// The origin of the relay's page.
fn origin(relay: &Relay) -> String {
    format!("http://{}", relay.url.authority())
}

/// Signs a browser in that has this cookie, and returns the cookie that it has afterwards.
async fn sign_in(relay: &Relay, token: &str, before: &str) -> String {
    let origin = origin(relay);
    let headers = [("origin", &*origin), ("cookie", before), ("content-type", "application/json")];
    let body = json!({ "token": token }).to_string();
    let answer = send(relay, ("POST", "/sign-in"), &headers, body).await;
    assert_eq!(answer.status, 303);
    let cookie = answer.header("set-cookie").expect("a cookie");
    let pair = cookie.split(';').next().expect("a pair");
    keep(pair.split_once('=').expect("a pair").1);
    pair.to_owned()
}

/// A token that another issuer has signed.
fn forged(subject: &str) -> String {
    Issuer::new().token(subject, "operator", &["*"])
}
