//! Which pages of other origins may read a route's answers. Each route has one description; the
//! router applies it to every answer of the route, errors included, and answers preflights by it.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::Reply;
use warp::reply::Response;

use super::origin::OriginPolicy;

/// For how long a browser may remember a preflight's answer, in seconds: the most that Chromium
/// honours.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Which pages may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Cors {
    /// Pages of any origin, also where the browser sends credentials: without these headers a
    /// browser hides even errors from the client. Beacons and some clients send credentials, and
    /// then a browser accepts only the page's own origin as an answer, not `*`. This gives no site
    /// any rights, since ingest never reads a cookie.
    AnyOrigin,
    /// Pages of the origins of `--allow-origin`; they may read the headers of `expose` too.
    AllowedOrigins {
        /// Names of headers, separated by commas.
        expose: Option<&'static str>,
    },
    /// Pages of the relay alone.
    SameOrigin,
}

impl Cors {
    /// Adds to an answer that the page which asked may read it, if it may.
    pub(in crate::http) fn apply(
        self,
        origins: &OriginPolicy,
        request: &HeaderMap,
        answer: &mut HeaderMap,
    ) {
        match self {
            Self::AnyOrigin => {
                let any = HeaderValue::from_static("*");
                let origin = request.get(header::ORIGIN).inspect(|_| {
                    let allowed = HeaderValue::from_static("true");
                    answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
                });
                let origin = origin.cloned().unwrap_or(any);
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                expose(answer, "Retry-After");
            }
            Self::AllowedOrigins { expose: names } => {
                if let Some(origin) = origins.allowed_origin(request) {
                    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                    if let Some(names) = names {
                        expose(answer, names);
                    }
                }
            }
            Self::SameOrigin => return,
        }
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        // The answer to a preflight repeats the names of headers that it was asked about.
        if self == Self::AnyOrigin && answer.contains_key(header::ACCESS_CONTROL_ALLOW_HEADERS) {
            let names = HeaderValue::from_static("Access-Control-Request-Headers");
            answer.append(header::VARY, names);
        }
    }

    /// The answer to OPTIONS of a path that has the methods of `allow`. [`Cors::apply`] adds which
    /// origin may read it.
    pub(in crate::http) fn preflight(
        self,
        origins: &OriginPolicy,
        request: &HeaderMap,
        allow: &HeaderValue,
    ) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let answer = response.headers_mut();
        answer.insert(header::ALLOW, allow.clone());
        let requested = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let headers = match self {
            Self::AnyOrigin => {
                // Chromium asks this of a page on a public address that posts to a private one.
                if request.contains_key("access-control-request-private-network") {
                    let allowed = HeaderValue::from_static("true");
                    answer.insert("access-control-allow-private-network", allowed);
                }
                // With credentials `*` would be the name of a header, so the answer repeats the
                // names that the browser asks about.
                requested.or(Some(HeaderValue::from_static("*")))
            }
            Self::AllowedOrigins { .. } if origins.allowed_origin(request).is_some() => requested,
            Self::AllowedOrigins { .. } | Self::SameOrigin => return response,
        };
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow.clone());
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
        if let Some(headers) = headers {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers);
        }
        response
    }
}

fn expose(answer: &mut HeaderMap, names: &'static str) {
    answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(names));
}
