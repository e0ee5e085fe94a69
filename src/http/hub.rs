//! Signing in through JupyterHub, for people with a browser: `GET /sign-in/hub` sends the browser
//! to the hub, and the hub sends it back to `GET /oauth_callback`.
//!
//! Between the two, the browser keeps the sign-in that it has begun in a short-lived cookie of its
//! own. It is removed at the end, whatever the end is.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::Reply;
use warp::reply::Response;

use super::context::Relay;
use super::gate::caller::{COOKIE, denied};
use super::problem::Problem;
use super::query::Query;
use super::request::Request;
use crate::access::{Denial, Hub, Right, Role, SignInError};

/// The cookie of a sign-in that has begun.
const BEGUN_COOKIE: &str = "progress-relay-hub-sign-in";
/// The longest cookie that is looked at, in bytes.
const MAX_COOKIE: usize = 8 * 1024;
/// The longest address that is kept as the one to go to afterwards, in bytes.
const MAX_NEXT: usize = 1_000;

/// A step of signing in.
#[derive(Debug, Clone, Copy)]
pub(super) enum HubStep {
    /// To the hub.
    Begin,
    /// Back from the hub.
    Finish,
}

/// Answers a request.
pub(super) async fn answer(relay: &Relay, step: HubStep, request: &Request) -> Response {
    let Some(hub) = relay.gate.access().hub() else {
        return Problem::not_found().into_response();
    };
    let answer = match step {
        HubStep::Begin => begin(relay, hub, request),
        HubStep::Finish => finish(relay, hub, request).await,
    };
    let mut response = answer.unwrap_or_else(Problem::into_response);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if matches!(step, HubStep::Finish) {
        set_cookie(relay, hub, request, headers, BEGUN_COOKIE, "", Duration::ZERO);
    }
    response
}

fn begin(relay: &Relay, hub: &Hub, request: &Request) -> Result<Response, Problem> {
    let query = Query::parse(&request.query);
    let home = relay.base_path.as_str();
    // It must lead to this relay: anyone can have written the URL that leads here.
    let next = query.first("next").filter(|next| is_own(next, home)).unwrap_or(home);
    let begun = hub.begin_sign_in(next).map_err(|error| failed(&error))?;
    let mut response = see_other(&begun.location);
    let headers = response.headers_mut();
    set_cookie(relay, hub, request, headers, BEGUN_COOKIE, &begun.cookie, begun.lifetime);
    Ok(response)
}

async fn finish(relay: &Relay, hub: &Hub, request: &Request) -> Result<Response, Problem> {
    let query = Query::parse(&request.query);
    let (state, code) = (query.first("state"), query.first("code"));
    let (Some(state), Some(code)) = (state, code) else {
        // The hub's own words are not repeated: anyone can have written them into the URL.
        return Err(failed(&SignInError::CodeRefused));
    };
    let begun = cookie(&request.headers).ok_or_else(|| failed(&SignInError::NotBegun))?;
    let signed_in = hub.finish_sign_in(begun, state, code).await.map_err(|error| failed(&error))?;
    let caller = &signed_in.caller;
    if !caller.role.has(Right::Read) {
        return Err(Problem::forbidden(&format!(
            "{} is signed in at the hub, and none of its groups makes it an instructor: the \
             dashboard is for instructors and operators",
            caller.subject
        )));
    }
    let classes = if caller.role == Role::Operator { 0 } else { caller.scope.texts().len() };
    tracing::info!(subject = caller.subject, role = %caller.role, classes, "signed in by the hub");
    let mut response = see_other(&signed_in.next);
    let headers = response.headers_mut();
    set_cookie(relay, hub, request, headers, COOKIE, &signed_in.session, signed_in.lifetime);
    Ok(response)
}

/// Whether an address is a path of this relay. A browser reads a backslash as a slash, skips
/// control characters, and takes what follows two slashes for a host.
fn is_own(next: &str, base: &str) -> bool {
    let plain =
        next.len() <= MAX_NEXT && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let path = next.split(['?', '#']).next().unwrap_or(next);
    let leads_elsewhere =
        path.contains("//") || path.split('/').any(|segment| [".", ".."].contains(&segment));
    plain && next.starts_with(base) && !leads_elsewhere && !path.contains('%')
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

fn set_cookie(
    relay: &Relay,
    hub: &Hub,
    request: &Request,
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
    lifetime: Duration,
) {
    let is_https = request.client.is_https() || hub.is_seen_over_tls();
    let (path, seconds) = (relay.base_path.as_str(), lifetime.as_secs());
    let secure = if is_https { "; Secure" } else { "" };
    let cookie =
        format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        headers.append(header::SET_COOKIE, cookie);
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == BEGUN_COOKIE).then_some(value))
        .filter(|value| value.len() <= MAX_COOKIE)
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn a_browser_that_has_signed_in_stays_at_the_relay() {
        for (next, base) in [
            ("/", "/"),
            ("/?class=algebra&student=b%2Fc#x", "/"),
            ("/services/relay/?class=a//b", "/services/relay/"),
        ] {
            assert!(is_own(next, base), "{next}");
        }
        for next in [
            "",
            "evil.example",
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/.//evil.example",
            "/..//evil.example",
            "/%2e//evil.example",
            "javascript:alert(1)",
            "?class=a",
            "/\r\nSet-Cookie:a=b",
            "/user/ada/",
        ] {
            assert!(!is_own(next, "/services/relay/"), "{next:?}");
        }
        for next in ["//evil.example", "///e", "/\\e", "/..//e", "/x/../..//e"] {
            assert!(!is_own(next, "/"), "{next:?}");
        }
        let base = "/services/relay/";
        assert!(!is_own("/services/relay/../../user/ada/", base));
        assert!(!is_own("/services/relay/%2e%2e/%2e%2e/user/ada/", base));
        assert!(!is_own(&format!("/{}", "x".repeat(2_000)), "/"));
    }
}
