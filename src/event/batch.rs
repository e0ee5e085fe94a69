//! A request's body into events, in two stages: the body must be JSON as a whole; then each event
//! stands alone, and a bad one harms no other.

use serde_json::value::RawValue;

use super::parse::{Rejection, class_of, parse_event};
use super::{Event, json};

/// Bounds on what one request may bring. The body's size is bounded by whoever read it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Events in one request.
    pub max_batch: usize,
    /// Bytes of `code`, `errorMessage` and `result`; what is over is cut.
    pub max_field: usize,
}

/// Why a body as a whole is refused; nothing of it is stored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not UTF-8.
    #[error("the body is not UTF-8 (from byte {0} on)")]
    NotUtf8(usize),
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON, but neither an object nor an array.
    #[error("the body is neither an event (a JSON object) nor an array of events")]
    NotEvents,
    /// Over [`Limits::max_batch`].
    #[error("the batch has more than {0} events (--max-batch)")]
    TooMany(usize),
}

/// A request's events, each where it stood.
#[derive(Debug, Default)]
pub struct Batch {
    /// The good ones, with their index in the request.
    pub events: Vec<(usize, Event)>,
    /// The others.
    pub rejected: Vec<Rejection>,
}

/// Reads a request's body. `url_class` is the class of the request's URL, for events that name
/// none.
pub fn parse_body(
    body: &[u8],
    url_class: Option<&str>,
    limits: Limits,
) -> Result<Batch, BodyError> {
    let text =
        std::str::from_utf8(body).map_err(|error| BodyError::NotUtf8(error.valid_up_to()))?;
    // RFC 8259 lets a parser ignore a byte order mark, and editors write them.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mended;
    let text = match serde_json::from_str::<&RawValue>(text) {
        Ok(value) => value.get(),
        Err(error) => {
            // One float of a Python client must not cost the events beside it.
            let not_json = || BodyError::NotJson(error.to_string());
            mended = json::without_nan(text).ok_or_else(not_json)?;
            let value = serde_json::from_str::<&RawValue>(&mended).map_err(|_| not_json())?.get();
            if !value.starts_with(['{', '[']) {
                return Err(not_json());
            }
            value
        }
    };
    let mut batch = Batch::default();
    match text.as_bytes().first() {
        Some(b'{') => batch.add(0, text, url_class, limits),
        Some(b'[') => {
            if json::elements(text).nth(limits.max_batch).is_some() {
                return Err(BodyError::TooMany(limits.max_batch));
            }
            for (index, element) in json::elements(text).enumerate() {
                batch.add(index, element, url_class, limits);
            }
        }
        _ => return Err(BodyError::NotEvents),
    }
    Ok(batch)
}

impl Batch {
    fn add(&mut self, index: usize, text: &str, url_class: Option<&str>, limits: Limits) {
        match parse_event(text, url_class, limits.max_field) {
            Ok(event) => self.events.push((index, event)),
            Err((field, reason)) => {
                let class = class_of(text, url_class);
                self.rejected.push(Rejection { index, field, reason, class });
            }
        }
    }
}
