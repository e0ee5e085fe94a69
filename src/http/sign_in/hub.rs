//! Signing in through JupyterHub: `GET /sign-in/hub` sends the browser to the hub, and the hub
//! sends it back to `GET /oauth_callback`.
//!
//! Between the two, the browser keeps the sign-in that it has begun in a short-lived cookie of its
//! own. It is removed at the end, whatever the end is. A person for whom it has not worked gets the
//! sign-in page with the reason, and begins again there.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::Reply;
use warp::reply::Response;

use super::{cookie, next, page};
use crate::access::{Caller, Denial, Hub, Right, SignInError};
use crate::audit::Action;
use crate::http::audit::note_step;
use crate::http::context::Relay;
use crate::http::gate::caller::cookie_named;
use crate::http::gate::caller::denied;
use crate::http::gate::refused::note_denial;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::request::Request;

/// The cookie of a sign-in that has begun.
const BEGUN_COOKIE: &str = "progress-relay-hub-sign-in";
/// The longest cookie that is looked at, in bytes.
const MAX_COOKIE: usize = 8 * 1024;
/// The audit's name for this way to sign in.
const SOURCE: &str = "hub";

/// A step of signing in.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) enum HubStep {
    /// To the hub.
    Begin,
    /// Back from the hub.
    Finish,
}

/// Answers a request.
pub(in crate::http) async fn answer(relay: &Relay, step: HubStep, request: &Request) -> Response {
    let Some(hub) = relay.gate.access().hub() else {
        return Problem::not_found().into_response();
    };
    let answer = match step {
        HubStep::Begin => begin(relay, hub, request),
        HubStep::Finish => finish(relay, hub, request).await,
    };
    let home = next::path(None, relay.base_path.as_str());
    let mut response =
        answer.unwrap_or_else(|problem| page::show(relay, request, &home, Some(&problem)));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if matches!(step, HubStep::Finish) {
        keep(relay, request, "", Duration::ZERO, headers);
    }
    response
}

fn begin(relay: &Relay, hub: &Hub, request: &Request) -> Result<Response, Problem> {
    let query = Query::parse(&request.query);
    let next = next::path(query.first("next"), relay.base_path.as_str());
    let begun = hub.begin_sign_in(&next).map_err(|error| failed(&error))?;
    let mut response = see_other(&begun.location);
    keep(relay, request, &begun.cookie, begun.lifetime, response.headers_mut());
    Ok(response)
}

async fn finish(relay: &Relay, hub: &Hub, request: &Request) -> Result<Response, Problem> {
    let query = Query::parse(&request.query);
    let (state, code) = (query.first("state"), query.first("code"));
    let (Some(state), Some(code)) = (state, code) else {
        // The hub's own words are not repeated: anyone can have written them into the URL.
        return Err(failed(&SignInError::CodeRefused));
    };
    let begun = begun(&request.headers).ok_or_else(|| failed(&SignInError::NotBegun))?;
    let signed_in = hub.finish_sign_in(begun, state, code).await.map_err(|error| {
        let denial = Denial::Invalid(error.to_string());
        note_denial(&relay.audit, Action::SignInRefused, &denial, request.client.address);
        failed(&error)
    })?;
    let caller = &signed_in.caller;
    if !caller.role.has(Right::Browse) {
        note_step(relay, Action::SignInRefused, request, caller, SOURCE);
        return Err(no_instructor(caller));
    }
    tracing::info!(subject = caller.subject, role = %caller.role, "signed in by the hub");
    note_step(relay, Action::SignedIn, request, caller, SOURCE);
    let mut response = see_other(&signed_in.next);
    let headers = response.headers_mut();
    let session = &signed_in.session;
    cookie::set(relay, request, &session.value, session.lifetime, headers);
    Ok(response)
}

fn no_instructor(caller: &Caller) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "not-an-instructor",
        "the hub's user instructs no class",
        format!(
            "{} is signed in at the hub, and none of its groups makes it an instructor or an \
             operator: put it into such a group there",
            caller.subject
        ),
    )
}

fn failed(error: &SignInError) -> Problem {
    match error {
        SignInError::NotBegun | SignInError::CodeRefused => Problem::new(
            StatusCode::BAD_REQUEST,
            "sign-in-failed",
            "signing in has not worked",
            error.to_string(),
        ),
        SignInError::Refused(refusal) => Problem::forbidden(&refusal.to_string()),
        SignInError::Unavailable { reason, retry_after } => {
            denied(&Denial::Unavailable { reason: reason.clone(), retry_after: *retry_after })
        }
    }
}

/// Sends a browser to `location`, by GET.
fn see_other(location: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Has the browser keep the sign-in that it has begun.
fn keep(
    relay: &Relay,
    request: &Request,
    value: &str,
    lifetime: Duration,
    headers: &mut HeaderMap,
) {
    let (path, seconds) = (relay.base_path.as_str(), lifetime.as_secs());
    let secure = if request.client.is_https() { "; Secure" } else { "" };
    let cookie = format!(
        "{BEGUN_COOKIE}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    );
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// The sign-in that the browser has begun.
fn begun(headers: &HeaderMap) -> Option<&str> {
    cookie_named(headers, BEGUN_COOKIE).filter(|value| value.len() <= MAX_COOKIE)
}
