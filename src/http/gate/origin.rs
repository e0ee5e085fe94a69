//! The check of a request's host and origin: not every website that an instructor happens to visit
//! may read.
//!
//! A browser lets every page open a WebSocket to an address in its network, or read from it by DNS
//! rebinding. So the request's host must be a name of this relay, and the page that asks must be
//! the relay's own or of an allowed origin. Without this check any website could read a class
//! through an instructor's browser.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::client::{Client, Scheme};
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
    pub(super) fn check(&self, headers: &HeaderMap, client: &Client) -> Result<(), Problem> {
        let host = client.host(headers);
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
            Some(origin) if self.is_own_origin(origin, host, client.scheme) => Ok(()),
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

    fn is_own_origin(&self, origin: &HeaderValue, host: &str, scheme: Option<Scheme>) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        // A proxy that is not trusted may speak TLS and pass http on: then the scheme is not known.
        let same = [Scheme::Http, Scheme::Https].into_iter().any(|own| {
            let authority = origin.strip_prefix(own.as_str()).and_then(|o| o.strip_prefix("://"));
            // A browser leaves the scheme's own port out; a proxy may name it.
            let host = host.strip_suffix(own.port()).unwrap_or(host);
            scheme.is_none_or(|known| known == own)
                && authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
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
    use super::super::client::TrustedProxies;
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
        let remote = "127.0.0.1:1".parse().expect("an address");
        let client = TrustedProxies::default().client(remote, false, &headers);
        policy.check(&headers, &client).is_ok()
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

    #[test]
    fn a_trusted_proxy_names_scheme_and_host() {
        let bind = "127.0.0.1:8000".parse().expect("an address");
        let policy = OriginPolicy::new(bind, &["https://relay.school.example".to_owned()]);
        let policy = policy.expect("an origin");
        let trusted = TrustedProxies::new(vec!["10.0.0.1".parse().expect("a network")]);
        let may = |peer: &str, scheme: &str, host: &str, origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8000"));
            for (name, value) in
                [("x-forwarded-proto", scheme), ("x-forwarded-host", host), ("origin", origin)]
            {
                headers.insert(name, value.parse().expect("a value"));
            }
            let client = trusted.client(peer.parse().expect("a peer"), false, &headers);
            policy.check(&headers, &client).is_ok()
        };
        const PROXY: &str = "10.0.0.1:1";
        const OWN: &str = "relay.school.example";
        assert!(may(PROXY, "https", OWN, "https://relay.school.example"));
        assert!(may(PROXY, "https", "relay.school.example:443", "https://relay.school.example"));
        assert!(may(PROXY, "https", "localhost:81", "https://localhost:81"));
        assert!(!may(PROXY, "https", "localhost:81", "http://localhost:81"), "another scheme");
        assert!(!may(PROXY, "https", "evil.example", "https://evil.example"), "no own host");
        assert!(!may("10.0.0.2:1", "https", "localhost:81", "https://localhost:81"), "no proxy");
    }
}
