//! The headers by which a browser protects the page and its data. Every answer bears them, and they
//! are written here and nowhere else.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::gate::client::Client;
use super::gate::cors::Cors;
use super::policy::Policy;

/// What a page of the relay may do: run scripts and use styles of this relay, connect to this
/// relay, and nothing else. A name or a code that came through as markup would still run nothing.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'";
/// What any other answer may do, if a browser is made to show it as a page.
const DATA: &str = "default-src 'none'";
/// What no page of the relay uses, so that no code that came through as markup can.
const PERMISSIONS: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), \
    gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()";
/// For how long a browser speaks only TLS to this host: a year, in seconds.
const STRICT_TRANSPORT: &str = "max-age=31536000";

const CROSS_ORIGIN_OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CROSS_ORIGIN_RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// The headers' values.
#[derive(Debug, Clone)]
pub(crate) struct SecurityHeaders {
    page: HeaderValue,
    data: HeaderValue,
}

impl SecurityHeaders {
    /// Of a relay whose page these origins may show in a frame of theirs.
    ///
    /// # Errors
    /// If one of `ancestors` is no origin.
    pub(crate) fn new(ancestors: &[String]) -> Result<Self, String> {
        let ancestors = if ancestors.is_empty() {
            "'none'".to_owned()
        } else {
            let ancestors: Result<Vec<_>, _> = ancestors.iter().map(|text| origin(text)).collect();
            ancestors?.join(" ")
        };
        let value = |policy: &str| {
            HeaderValue::try_from(format!("{policy}; frame-ancestors {ancestors}"))
                .map_err(|_| format!("{ancestors:?} cannot stand in a header"))
        };
        Ok(Self { page: value(PAGE)?, data: value(DATA)? })
    }

    /// Adds the headers to an answer. A handler that says more precisely what its answer may do,
    /// or how it may be kept, is left its word.
    pub(super) fn apply(
        &self,
        policy: &Policy,
        client: &Client,
        host: &str,
        answer: &mut HeaderMap,
    ) {
        // Data of students stays in no cache.
        answer.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        answer.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Events come from pages of any origin, and the answer holds nothing of a class.
        let is_ingest = policy.cors == Cors::AnyOrigin;
        let readers = if is_ingest { "cross-origin" } else { "same-origin" };
        answer.insert(CROSS_ORIGIN_RESOURCE, HeaderValue::from_static(readers));
        if !is_ingest {
            self.protect_page(answer);
        }
        if client.is_https() && may_be_strict(host) {
            let strict = HeaderValue::from_static(STRICT_TRANSPORT);
            answer.insert(header::STRICT_TRANSPORT_SECURITY, strict);
        }
    }

    /// What a browser makes of an answer that it shows.
    fn protect_page(&self, answer: &mut HeaderMap) {
        let content_type = answer.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_page = content_type.is_some_and(|value| value.starts_with(b"text/html"));
        let policy = if is_page { &self.page } else { &self.data };
        answer.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(|| policy.clone());
        // The address may name a class and a student, or hold a token.
        let no_referrer = HeaderValue::from_static("no-referrer");
        answer.entry(header::REFERRER_POLICY).or_insert(no_referrer);
        if is_page {
            answer.insert(CROSS_ORIGIN_OPENER, HeaderValue::from_static("same-origin"));
            answer.insert(PERMISSIONS_POLICY, HeaderValue::from_static(PERMISSIONS));
        }
    }
}

/// Whether a browser may be told to speak only TLS to this host: a name that is this machine's own
/// is every developer's, and serves other programs without TLS.
fn may_be_strict(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    !name.is_empty() && name != "localhost" && !name.ends_with(".localhost")
}

/// An origin, as it stands in a policy: `'self'` too.
fn origin(text: &str) -> Result<String, String> {
    if ["self", "'self'"].contains(&text) {
        return Ok("'self'".to_owned());
    }
    let wrong =
        || format!("{text:?} is not an origin; write it as https://HOST or http://HOST:PORT");
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let origin = url.origin().ascii_serialization();
    let is_origin =
        matches!(url.scheme(), "http" | "https") && text.trim_end_matches('/') == origin;
    if is_origin { Ok(origin) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::super::gate::client::TrustedProxies;
    use super::*;

    fn applied(
        headers: &SecurityHeaders,
        policy: &Policy,
        content_type: &'static str,
    ) -> HeaderMap {
        let mut answer = HeaderMap::new();
        answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let remote = "10.0.0.1:1".parse().expect("an address");
        let client = TrustedProxies::default().client(remote, true, &HeaderMap::new());
        headers.apply(policy, &client, "relay.example", &mut answer);
        answer
    }

    #[test]
    fn every_answer_has_them() {
        let headers = SecurityHeaders::new(&[]).expect("no origins");
        for (policy, content_type) in
            [(&Policy::PAGE, "text/html"), (&Policy::READ, "application/json")]
        {
            let answer = applied(&headers, policy, content_type);
            let policy = answer["content-security-policy"].to_str().expect("text");
            assert!(policy.starts_with("default-src 'none'; "), "{policy}");
            assert!(policy.ends_with("; frame-ancestors 'none'"), "{policy}");
            assert_eq!(policy.contains("script-src 'self'"), content_type == "text/html");
            assert_eq!(answer["cache-control"], "no-store");
            assert_eq!(answer["referrer-policy"], "no-referrer");
            assert_eq!(answer["cross-origin-resource-policy"], "same-origin");
            assert!(answer.contains_key("strict-transport-security"));
        }
        let stored = applied(&headers, &Policy::INGEST, "application/json");
        assert_eq!(stored["cross-origin-resource-policy"], "cross-origin");
    }

    #[test]
    fn frames_are_allowed_by_name() {
        let origins = ["https://lab.school.example".to_owned(), "self".to_owned()];
        let headers = SecurityHeaders::new(&origins).expect("origins");
        let answer = applied(&headers, &Policy::PAGE, "text/html; charset=utf-8");
        let policy = answer["content-security-policy"].to_str().expect("text");
        assert!(
            policy.ends_with("; frame-ancestors https://lab.school.example 'self'"),
            "{policy}"
        );
        for text in ["*", "https:", "https://a/b", "https://a;script-src *", "'none'", "a.example"]
        {
            assert!(SecurityHeaders::new(&[text.to_owned()]).is_err(), "{text}");
        }
    }

    #[test]
    fn strict_transport_is_for_names_of_the_network() {
        assert!(may_be_strict("relay.school.example") && may_be_strict("Relay.example:8443"));
        for host in ["localhost", "LOCALHOST:8000", "a.localhost:1", ""] {
            assert!(!may_be_strict(host), "{host}");
        }
    }
}
