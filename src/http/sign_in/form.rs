//! The body of `POST /sign-in`: a form, or JSON with the same names.

use std::pin::Pin;

use bytes::Buf;
use futures::Stream;
use http::{StatusCode, header};
use serde::Deserialize;

use crate::http::context::Relay;
use crate::http::ingest::body::{self, MaxBody};
use crate::http::problem::Problem;
use crate::http::request::Request;

/// The most bytes of the body: a token, and an address to go to.
const MAX_FORM: MaxBody = MaxBody { bytes: 16 * 1024, advice: ": no token is as long" };

/// What proves who signs in.
pub(super) enum Proof {
    /// A token.
    Token(String),
    /// The code of a one-time link.
    Code(String),
}

/// A form that was sent.
pub(super) struct Form {
    pub(super) proof: Proof,
    /// The address to go to.
    pub(super) next: Option<String>,
    /// Whether a page sent it, which a person reads.
    pub(super) is_of_a_page: bool,
}

#[derive(Deserialize, Default)]
struct Fields {
    #[serde(default)]
    token: String,
    #[serde(default)]
    code: String,
    next: Option<String>,
}

impl Form {
    /// Reads the body.
    ///
    /// # Errors
    /// If it is too large, too slow, or no such form.
    pub(super) async fn read<S, B>(
        relay: &Relay,
        request: &Request,
        body: Pin<&mut S>,
    ) -> Result<Self, Problem>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf + Send,
    {
        let content_type = request.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is_of_a_page = essence.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        if !is_of_a_page && !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "the body is not in a form that is taken",
                "send application/x-www-form-urlencoded or application/json",
            ));
        }
        let patience = relay.limits.request_timeout;
        let body = body::read(&request.headers, body, MAX_FORM, patience, &relay.bodies).await?;
        let fields = if is_of_a_page { of_form(&body.bytes) } else { of_json(&body.bytes)? };
        let token = fields.token.trim();
        let proof = match fields.code.trim() {
            "" => Proof::Token(token.to_owned()),
            code => Proof::Code(code.to_owned()),
        };
        Ok(Self { proof, next: fields.next, is_of_a_page })
    }
}

fn of_form(bytes: &[u8]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in url::form_urlencoded::parse(bytes) {
        match &*name {
            "token" => fields.token = value.into_owned(),
            "code" => fields.code = value.into_owned(),
            "next" => fields.next = Some(value.into_owned()),
            _ => {}
        }
    }
    fields
}

fn of_json(bytes: &[u8]) -> Result<Fields, Problem> {
    // The parser's error may repeat a part of the token.
    serde_json::from_slice(bytes).map_err(|_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "body-not-json",
            "the body is not JSON",
            "send {\"token\": \"…\", \"next\": \"/\"}",
        )
    })
}
