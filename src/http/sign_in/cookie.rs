//! The cookie of a browser that has signed in. Scripts cannot read it, pages of other sites cannot
//! send it with anything but a link, and behind TLS it never travels without.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use crate::http::context::Relay;
use crate::http::gate::caller::{COOKIE, HOST_COOKIE, SECURE_COOKIE};
use crate::http::request::Request;

/// Sets the cookie, which replaces any earlier one.
pub(in crate::http) fn set(
    relay: &Relay,
    request: &Request,
    value: &str,
    lifetime: Duration,
    answer: &mut HeaderMap,
) {
    let path = relay.base_path.as_str();
    add(answer, &cookie(request.client.is_https(), path, value, lifetime.as_secs()));
}

/// Removes the cookie.
pub(super) fn clear(relay: &Relay, request: &Request, answer: &mut HeaderMap) {
    set(relay, request, "", Duration::ZERO, answer);
}

fn add(answer: &mut HeaderMap, cookie: &str) {
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        value.set_sensitive(true);
        answer.append(header::SET_COOKIE, value);
    }
}

fn cookie(is_https: bool, path: &str, value: &str, seconds: u64) -> String {
    let (name, secure) = match is_https {
        true if path == "/" => (HOST_COOKIE, "; Secure"),
        true => (SECURE_COOKIE, "; Secure"),
        false => (COOKIE, ""),
    };
    format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes() {
        assert_eq!(
            cookie(true, "/", "x", 60),
            "__Host-progress-relay=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
        );
        assert!(cookie(true, "/services/relay/", "x", 60).starts_with("__Secure-progress-relay=x"));
        let plain = cookie(false, "/", "", 0);
        assert!(plain.starts_with("progress-relay=; Path=/; Max-Age=0;"));
        assert!(!plain.contains("Secure"));
    }
}
