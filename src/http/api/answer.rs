//! An answer's last steps: its tag, what the client has already, compression.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::Reply;
use warp::reply::Response;

use super::budget::{self, Reservation};
use super::{Problem, Request};

/// A body smaller than this is sent as it is: compressed it would take as many packets.
const MIN_COMPRESSED: usize = 1024;
/// What is larger is compressed where it holds nobody up.
const MAX_INLINE: usize = 256 * 1024;

/// A JSON body and its tag.
#[derive(Debug)]
pub(super) struct Answer {
    body: String,
    etag: String,
}

impl Answer {
    /// Tagged by the whole of it.
    pub(super) fn json(body: String) -> Self {
        let etag = tag(&body);
        Self { body, etag }
    }

    /// An object of `members`, with `now` in it and outside of its tag.
    pub(super) fn with_now(members: &str, now: &str) -> Self {
        Self { body: format!("{{\"now\":\"{now}\",{members}}}"), etag: tag(members) }
    }

    /// Ready to be sent, within the budget.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) async fn reply(self, request: &Request<'_>) -> Result<Response, Problem> {
        self.reply_with(request, request.relay.answers.begin()).await
    }

    /// The same of an answer for which there is room.
    pub(super) async fn reply_with(
        self,
        request: &Request<'_>,
        mut room: Reservation,
    ) -> Result<Response, Problem> {
        let headers = request.headers;
        if has(headers, &self.etag) {
            return Ok(not_modified(&self.etag));
        }
        let body = Bytes::from(self.body);
        if !room.grow(body.len()) {
            return Err(budget::full());
        }
        if body.len() < MIN_COMPRESSED || !takes_gzip(headers) {
            return Ok(tagged([room.hold(body)], &self.etag, false));
        }
        let compressed = if body.len() > MAX_INLINE {
            let compress = move || gzip(&body, Compression::fast());
            tokio::task::spawn_blocking(compress).await.unwrap_or_default()
        } else {
            gzip(&body, Compression::fast())
        };
        Ok(tagged([room.hold(compressed)], &self.etag, true))
    }
}

/// Compressed.
pub(in crate::http) fn gzip(bytes: &[u8], level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), level);
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}

/// A body's tag.
pub(in crate::http) fn tag(body: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    // Weak: what `now` and the encoding change is left out of it.
    format!("W/\"{:016x}\"", hasher.finish())
}

/// Whether the client has the body with this tag.
pub(in crate::http) fn has(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = etag.trim_start_matches("W/");
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == opaque)
}

/// Whether the client takes gzip.
pub(in crate::http) fn takes_gzip(headers: &HeaderMap) -> bool {
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

/// A JSON body in parts, and that it may be kept but must be asked about.
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
    fn tags_compare_weakly_and_leave_now_out() {
        let answer = Answer::with_now("\"a\":1", "2026");
        assert_eq!(answer.etag, Answer::with_now("\"a\":1", "2027").etag);
        assert_eq!(answer.body, r#"{"now":"2026","a":1}"#);
        let strong = answer.etag.trim_start_matches("W/");
        for value in [&answer.etag, strong, "*", &format!("\"x\", {}", answer.etag)] {
            assert!(has(&headers(header::IF_NONE_MATCH, value), &answer.etag), "{value}");
        }
        assert!(!has(&headers(header::IF_NONE_MATCH, "\"x\""), &answer.etag));
    }
}
