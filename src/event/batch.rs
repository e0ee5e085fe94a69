//! Parsing a request's body, in two stages. The body as a whole must be JSON. Then each event is
//! parsed by itself: an event that is rejected does not affect the others.

use serde::Serialize;
use serde_json::value::RawValue;

use super::json;
use super::names::ClassId;
use super::parse::{Event, class_of, parse_event};

/// The bounds of one request. The body's size is bounded where the body is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most events in one request.
    pub max_batch: usize,
    /// The most bytes of `code`, `errorMessage` and `result`; a longer text is cut.
    pub max_field: usize,
}

/// Why a body is refused as a whole. None of its events is stored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is not UTF-8.
    #[error("the body is not UTF-8 (from byte {0} on)")]
    NotUtf8(usize),
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The body is JSON, but neither an object nor an array.
    #[error("the body is neither an event (a JSON object) nor an array of events")]
    NotEvents,
    /// The array has more than [`Limits::max_batch`] elements.
    #[error("the batch has more than {0} events (--max-batch)")]
    TooMany(usize),
}

/// Why one event of a request was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// The event's position in the request; 0 for a lone object.
    pub index: usize,
    /// The field at fault; absent if the event as a whole is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why it was rejected, for a person.
    pub reason: String,
    /// The class that the event named, by which rejections are counted.
    #[serde(skip)]
    pub class: ClassId,
}

/// The events of a request, each with its position in the request.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events that were accepted.
    pub events: Vec<(usize, Event)>,
    /// The events that were rejected.
    pub rejected: Vec<Rejection>,
    /// The bodies of other clients that say nothing that is stored.
    pub ignored: usize,
}

/// Parses a request's body. `url_class` is the class of the request's URL, for events that name no
/// class.
///
/// # Errors
/// If the body is refused as a whole.
pub fn parse_body(
    body: &[u8],
    url_class: Option<&str>,
    limits: Limits,
) -> Result<Batch, BodyError> {
    let text =
        std::str::from_utf8(body).map_err(|error| BodyError::NotUtf8(error.valid_up_to()))?;
    // RFC 8259 allows a parser to ignore a byte order mark, and editors write one.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mended;
    let text = match serde_json::from_str::<&RawValue>(text) {
        Ok(value) => value.get(),
        Err(error) => {
            // A float of a Python client that JSON has no number for must not void the whole batch.
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
            Ok(Some(event)) => self.events.push((index, event)),
            Ok(None) => self.ignored += 1,
            Err((field, reason)) => {
                let class = class_of(text, url_class);
                self.rejected.push(Rejection { index, field, reason, class });
            }
        }
    }
}
