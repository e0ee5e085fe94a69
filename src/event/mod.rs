//! Events, and the ids of classes and students. Everything here is checked once, where it enters
//! the relay: an [`Event`] or a [`ClassId`] that exists is within its bounds, and no other part
//! checks it again.
//!
//! - `batch`: a request's body; `parse`: one event of it; `dialects`: bodies of other clients;
//!   `fields`: the rules of its fields; `moment`, `calendar`: the forms of a time
//! - `names`: the ids of classes and students; `event_id`: an event's id; `micros`: a moment;
//!   `cursor`: a position in the log; `fingerprint`: a hash that tells long texts apart
//! - `stored`: an event of the table; [`json`]: reading and writing JSON text; `object`: writing a
//!   JSON object member by member

mod batch;
mod calendar;
mod cursor;
mod dialects;
mod event_id;
mod fields;
mod fingerprint;
pub(crate) mod json;
mod micros;
mod moment;
mod names;
mod object;
mod parse;
mod stored;

pub use batch::{Batch, BodyError, Limits, Rejection, parse_body};
pub use cursor::{Cursor, Epoch};
pub use event_id::EventId;
pub(crate) use fields::COUNTED_FIELDS;
pub use micros::Micros;
pub(crate) use moment::parse_rfc3339;
pub use names::{ClassId, IdError, StudentId};
pub(crate) use object::ObjectWriter;
pub use parse::Event;
pub(crate) use parse::is_made_by_relay;
pub use stored::StoredEvent;

#[cfg(test)]
mod naming_tests;
#[cfg(test)]
mod tests;
