//! How a body is sent: its ETag and 304, compression, and `now`, which the ETag leaves out.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::Reply;
use warp::reply::Response;

use super::budget::{self, AnswerBudget, Reservation};
use super::problem::Problem;
use crate::encoding::{self, etag};

/// A body smaller than this is sent as it is: compressed it would take as many packets.
const MIN_COMPRESSED: usize = 1024;

/// A JSON body and its ETag.
#[derive(Debug)]
pub(super) struct Representation {
    body: String,
    etag: String,
}

impl Representation {
    /// A body whose ETag covers all of it.
    pub(super) fn json(body: String) -> Self {
        let etag = etag(&body);
        Self { body, etag }
    }

    /// A body whose ETag is the name of its version, strong: a change may be made on top of it.
    pub(super) fn versioned(body: String, version: &str) -> Self {
        Self { body, etag: format!("\"{version}\"") }
    }

    /// An object with `now` as its first member. The ETag leaves `now` out, since otherwise no
    /// ETag would match.
    pub(super) fn stamped(object: &str, now: &str) -> Self {
        let members = object.strip_prefix('{').unwrap_or(object);
        Self { body: format!("{{\"now\":\"{now}\",{members}"), etag: etag(object) }
    }

    /// The answer to a request with these headers; a problem if `budget` has no room for it.
    pub(super) async fn answer(
        self,
        headers: &HeaderMap,
        budget: &AnswerBudget,
    ) -> Result<Response, Problem> {
        self.answer_within(headers, budget.begin()).await
    }

    /// The same with a reservation that the body has already.
    pub(super) async fn answer_within(
        self,
        headers: &HeaderMap,
        mut room: Reservation,
    ) -> Result<Response, Problem> {
        if if_none_match(headers, &self.etag) {
            return Ok(not_modified(&self.etag));
        }
        let body = Bytes::from(self.body);
        if !room.grow(body.len()) {
            return Err(budget::full());
        }
        let is_compressed = body.len() >= MIN_COMPRESSED && takes_gzip(headers);
        if is_compressed && let Some(gzip) = encoding::gzip(body.clone()).await {
            return Ok(tagged([room.hold(gzip)], &self.etag, true));
        }
        Ok(tagged([room.hold(body)], &self.etag, false))
    }
}

/// Whether the client has the body with this ETag.
pub(super) fn if_none_match(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = etag.trim_start_matches("W/");
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == opaque)
}

/// What a request demands of the version that it changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// That there is one.
    Any,
    /// This one, or one of a few.
    Tag,
    /// Others.
    None,
}

/// Compares `If-Match` with the version's ETag. A weak tag is that of no version: RFC 9110 has them
/// compared strongly here.
pub(super) fn if_match(headers: &HeaderMap, etag: &str) -> Match {
    let values = headers.get_all(header::IF_MATCH).iter();
    let tags = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut found = Match::None;
    for tag in tags.map(str::trim) {
        if tag == "*" {
            return Match::Any;
        }
        if tag == etag {
            found = Match::Tag;
        }
    }
    found
}

/// Whether the client takes gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let refuses = |parameters: &str| {
        parameters.split(';').any(|parameter| {
            let quality = parameter.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
            quality.is_some_and(|quality| quality == 0.0)
        })
    };
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim().eq_ignore_ascii_case("gzip") && !refuses(parameters)
        })
}

/// A JSON body in parts, which a client may keep and must ask about.
pub(super) fn tagged<const N: usize>(parts: [Bytes; N], etag: &str, gzip: bool) -> Response {
    let length: usize = parts.iter().map(Bytes::len).sum();
    let parts = stream::iter(parts.map(Ok::<_, Infallible>));
    let mut response = warp::reply::stream(parts).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    cached(headers, etag);
    response
}

/// The answer to a client that has the body with this ETag.
pub(super) fn not_modified(etag: &str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    cached(response.headers_mut(), etag);
    response
}

fn cached(headers: &mut HeaderMap, etag: &str) {
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header"))])
    }

    #[test]
    fn gzip_is_taken_unless_refused() {
        for value in ["gzip", "br, gzip;q=0.5", "GZIP", "deflate, gzip ; q=1"] {
            assert!(takes_gzip(&headers(header::ACCEPT_ENCODING, value)), "{value}");
        }
        for value in ["", "br", "gzip;q=0", "gzip; q=0.000", "x-gzip"] {
            assert!(!takes_gzip(&headers(header::ACCEPT_ENCODING, value)), "{value}");
        }
    }

    #[test]
    fn etags_compare_weakly_and_leave_now_out() {
        let answer = Representation::stamped("{\"a\":1}", "2026");
        assert_eq!(answer.etag, Representation::stamped("{\"a\":1}", "2027").etag);
        assert_eq!(answer.body, r#"{"now":"2026","a":1}"#);
        let strong = answer.etag.trim_start_matches("W/");
        for value in [&answer.etag, strong, "*", &format!("\"x\", {}", answer.etag)] {
            assert!(if_none_match(&headers(header::IF_NONE_MATCH, value), &answer.etag), "{value}");
        }
        assert!(!if_none_match(&headers(header::IF_NONE_MATCH, "\"x\""), &answer.etag));
    }

    #[test]
    fn a_version_is_matched_by_its_strong_tag() {
        let matched = |value: &str| if_match(&headers(header::IF_MATCH, value), "\"7\"");
        for value in ["\"7\"", " \"6\" ,\"7\"", "\"7\",W/\"7\""] {
            assert_eq!(matched(value), Match::Tag, "{value}");
        }
        for value in ["", "7", "W/\"7\"", "\"77\"", "\"\"", "\"6\", \"8\""] {
            assert_eq!(matched(value), Match::None, "{value}");
        }
        assert_eq!(matched("*"), Match::Any);
    }
}
