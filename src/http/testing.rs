//! How a credential is read off a request, for the fuzzer.

use http::{HeaderMap, HeaderValue, header};

use super::gate::caller::{authorization, cookie_of};
use super::subscribe::session::messages::Incoming;
use crate::access::Credential;

/// The token of an `Authorization` header with this value.
pub fn token_of_authorization(value: &[u8]) -> Option<String> {
    authorization(&HeaderValue::from_bytes(value).ok()?).ok()
}

/// The relay's cookie, of a request with these `Cookie` headers.
pub fn session_of_cookies<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    is_https: bool,
) -> Option<String> {
    let mut headers = HeaderMap::new();
    for line in lines.into_iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append(header::COOKIE, line);
    }
    cookie_of(&headers, is_https).ok().flatten().map(str::to_owned)
}

/// The token of a WebSocket's first message with this text.
pub fn token_of_first_message(text: &str) -> Option<String> {
    match Incoming::of_text(text) {
        Some(Incoming::Auth(Credential::Token(token))) => Some(token),
        _ => None,
    }
}
