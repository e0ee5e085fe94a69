//! Who may read: not any website that an instructor happens to visit.
//!
//! A browser lets every page open a WebSocket to, or (by DNS rebinding) read from, an address on
//! the machine or in its network. So the name that was asked for must be this relay's, and the page
//! that asks must be one of its own or allowed.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::Reply;
use warp::reply::Response;

use super::problem::Problem;

/// How long a browser may remember what a path takes, in seconds: the most that Chromium honours.
const PREFLIGHT_MAX_AGE: &str = "7200";

/// Which hosts and origins may read.
#[derive(Debug, Clone)]
pub struct Access {
    origins: Vec<String>,
    hosts: Vec<String>,
    /// Beyond loopback: any address does for a host, since no name can be rebound to one.
    any_address: bool,
}

impl Access {
    /// For a relay that listens on `bind`, and pages of `origins` (`https://host[:port]`, as
    /// browsers write them).
    ///
    /// # Errors
    /// If one of them is not an origin.
    pub fn new(bind: SocketAddr, origins: &[String]) -> Result<Self, String> {
        let mut access =
            Self { origins: Vec::new(), hosts: Vec::new(), any_address: !bind.ip().is_loopback() };
        for text in origins {
            let wrong = || {
                format!("{text:?} is not an origin; write it as https://HOST or http://HOST:PORT")
            };
            let url = url::Url::parse(text).map_err(|_| wrong())?;
            let host = url.host_str().ok_or_else(wrong)?.to_owned();
            let origin = url.origin().ascii_serialization();
            if !matches!(url.scheme(), "http" | "https") || text.trim_end_matches('/') != origin {
                return Err(wrong());
            }
            access.origins.push(origin);
            access.hosts.push(host);
        }
        Ok(access)
    }

    /// Whether a request with these headers may read.
    ///
    /// # Errors
    /// The problem to answer with.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host =
            headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !self.is_own_host(host) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "host-not-allowed",
                "the relay does not go by that name",
                format!(
                    "the request is for host {host:?}; allow it with --allow-origin \
                         http://HOST:PORT"
                ),
            ));
        }
        match headers.get(header::ORIGIN) {
            None => Ok(()),
            Some(origin) if self.is_own_origin(origin, host) => Ok(()),
            Some(origin) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "origin-not-allowed",
                "pages of that origin may not read",
                format!(
                    "the request comes from a page of {origin:?}; allow it with --allow-origin"
                ),
            )),
        }
    }

    fn is_own_host(&self, host: &str) -> bool {
        let name = without_port(host);
        let address: Option<IpAddr> =
            name.trim_start_matches('[').trim_end_matches(']').parse().ok();
        match address {
            Some(address) => address.is_loopback() || self.any_address || self.is_configured(name),
            None => {
                let name = name.to_ascii_lowercase();
                name == "localhost" || name.ends_with(".localhost") || self.is_configured(&name)
            }
        }
    }

    fn is_configured(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| host == name)
    }

    fn is_own_origin(&self, origin: &HeaderValue, host: &str) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        // A proxy that speaks TLS passes http on: the scheme is not known here.
        let same = ["http://", "https://"].iter().any(|scheme| {
            origin
                .strip_prefix(scheme)
                .is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        });
        same || self.origins.iter().any(|allowed| allowed == origin)
    }

    /// The answer to OPTIONS, where a path takes the methods of `allow`. It lets a page of an
    /// allowed origin use them; [`Access::name_origin`] adds which that is.
    pub(super) fn options(&self, headers: &HeaderMap, allow: &'static str) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let answer = response.headers_mut();
        answer.insert(header::ALLOW, HeaderValue::from_static(allow));
        if self.foreign_origin(headers).is_some() {
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(allow));
            if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
            answer.insert(
                header::ACCESS_CONTROL_MAX_AGE,
                HeaderValue::from_static(PREFLIGHT_MAX_AGE),
            );
        }
        response
    }

    /// Says in an answer that a page of the request's origin may read it, if that is another one
    /// that is allowed.
    pub(super) fn name_origin(&self, headers: &HeaderMap, answer: &mut HeaderMap) {
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.foreign_origin(headers) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }

    /// The origin to name in an answer that a page of another origin may read.
    pub(super) fn foreign_origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.origins.iter().any(|allowed| origin.as_bytes() == allowed.as_bytes()).then_some(origin)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(bind: &str, origins: &[&str], host: &str, origin: Option<&str>) -> bool {
        let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
        let access = Access::new(bind.parse().expect("an address"), &origins).expect("origins");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("a header"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("a header"));
        }
        access.check(&headers).is_ok()
    }

    #[test]
    fn only_own_names_and_own_pages() {
        const LOOPBACK: &str = "127.0.0.1:8000";
        for host in [
            "127.0.0.1:8000",
            "localhost",
            "LOCALHOST:9",
            "[::1]:8000",
            "a.localhost:1",
            "127.9.9.9",
        ] {
            assert!(allowed(LOOPBACK, &[], host, None), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:8000",
            "localhost.evil",
            "",
            "10.0.0.1:8000",
            "[::2]",
        ] {
            assert!(!allowed(LOOPBACK, &[], host, None), "{host}");
        }
        assert!(allowed(LOOPBACK, &[], "localhost:8000", Some("http://localhost:8000")));
        assert!(allowed(LOOPBACK, &[], "localhost:8000", Some("https://localhost:8000")));
        for origin in
            ["null", "http://localhost:8001", "http://evil.example", "https://a.b/localhost:8000"]
        {
            assert!(!allowed(LOOPBACK, &[], "localhost:8000", Some(origin)), "{origin}");
        }
        let school = ["https://relay.school.example"];
        assert!(allowed(
            LOOPBACK,
            &school,
            "relay.school.example",
            Some("https://relay.school.example")
        ));
        assert!(allowed(LOOPBACK, &school, "127.0.0.1:8000", Some("https://relay.school.example")));
        assert!(allowed("0.0.0.0:8000", &[], "10.0.0.1:8000", Some("http://10.0.0.1:8000")));
        assert!(!allowed("0.0.0.0:8000", &[], "evil.example:8000", None));
    }

    #[test]
    fn origins_are_written_as_browsers_do() {
        let bind = "127.0.0.1:1".parse().expect("an address");
        for text in ["school.example", "*", "ftp://a", "https://a/b", "https://u@a", ""] {
            assert!(Access::new(bind, &[text.to_owned()]).is_err(), "{text}");
        }
    }
}
