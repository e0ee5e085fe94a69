//! `GET /api/me`: who calls, for the header of the dashboard.

use http::{HeaderValue, header};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use warp::reply::Response;

use super::request::ApiRequest;
use crate::event::ObjectWriter;
use crate::http::problem::Problem;

impl ApiRequest<'_> {
    pub(super) fn me(&self) -> Result<Response, Problem> {
        let caller = self.caller;
        let body = if self.relay.gate.access().is_open() {
            "null".to_owned()
        } else {
            ObjectWriter::object(|object| {
                object.text("subject", &caller.subject);
                if let Some(name) = &caller.name {
                    object.text("name", name);
                }
                object.text("role", &caller.role.to_string());
                object.json("classes", serde_json::Value::from(caller.scope.texts()));
                let end = caller.expires_at.map(OffsetDateTime::from);
                if let Some(end) = end.and_then(|end| end.format(&Rfc3339).ok()) {
                    object.text("expiresAt", &end);
                }
            })
        };
        let mut response = Response::new(body.into());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // The answer is another one after a sign-in.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}
