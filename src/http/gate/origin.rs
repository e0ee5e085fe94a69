//! The check of a request's host and origin: not every website that an instructor happens to visit
//! may read.
//!
//! A browser lets every page open a WebSocket to an address in its network, or read from it by DNS
//! rebinding. So the request's host must be a name of this relay, and the page that asks must be
//! the relay's own or of an allowed origin. Without this check any website could read a class
//! through an instructor's browser.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::http::problem::Problem;

/// Which hosts and origins may read.
#[derive(Debug, Clone)]
pub(crate) struct OriginPolicy {
    origins: Vec<String>,
    hosts: Vec<String>,
    /// Beyond loopback the host may be any address, since no name can be rebound to an address.
    any_address: bool,
}

impl OriginPolicy {
    /// For a relay that listens on `bind`, and pages of `origins` (`https://host[:port]`, as
    /// browsers write them).
    ///
    /// # Errors
    /// If one of `origins` is not an origin.
    pub(crate) fn new(bind: SocketAddr, origins: &[String]) -> Result<Self, String> {
        let mut policy =
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
            policy.origins.push(origin);
            policy.hosts.push(host);
        }
        Ok(policy)
    }

    /// Whether a request with these headers may read; if not, the problem to answer with.
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

    /// The request's origin, if `--allow-origin` names it.
    pub(super) fn allowed_origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
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
        let policy =
            OriginPolicy::new(bind.parse().expect("an address"), &origins).expect("origins");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("a header"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("a header"));
        }
        policy.check(&headers).is_ok()
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
            assert!(OriginPolicy::new(bind, &[text.to_owned()]).is_err(), "{text}");
        }
    }
}
