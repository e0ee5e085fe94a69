//! `/metrics`: the text of all metrics, for Prometheus. The parts own and register them.

use http::{HeaderValue, header};
use warp::reply::Response;

use super::context::Relay;

/// Prometheus' text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn render(relay: &Relay) -> Response {
    let mut response = Response::new(relay.registry.text().into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}
