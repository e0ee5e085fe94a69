//! What a mapping makes of a body, and the writing of it.

use uuid::Uuid;

use super::value::Value;
use crate::event::micros::Micros;
use crate::event::object::ObjectWriter;

/// Names the ids of events whose client sends none.
const EVENTS: Uuid = Uuid::from_u128(0x2f0d_5c54_7a1e_5b53_8c39_90d6_4f6e_21ab);

/// What a body becomes.
pub(super) enum Translated {
    /// The JSON text of an event.
    Event(String),
    /// Nothing: the body is understood, and says nothing that is stored.
    Ignored,
}

/// An id that is the same whenever the same body comes, so that a retry is one event. `parts` tell
/// the client's bodies apart.
pub(super) fn event_id(client: &str, parts: &[Value<'_>]) -> String {
    let mut name = client.to_owned();
    for part in parts {
        // A line feed stands in no JSON text outside of a string's escapes.
        name.push('\n');
        name.push_str(part.json().unwrap_or_default());
    }
    Uuid::new_v5(&EVENTS, name.as_bytes()).to_string()
}

/// Writes a member as the client wrote its value.
pub(super) fn copy(event: &mut ObjectWriter<'_>, name: &str, value: Value<'_>) {
    event.opt_json(name, value.json());
}

/// Writes a member that is a time in milliseconds since 1970. Any other value stays as it is, and
/// the event is rejected for it.
pub(super) fn copy_milliseconds(event: &mut ObjectWriter<'_>, name: &str, value: Value<'_>) {
    /// The last millisecond of the year 9999.
    const LAST: f64 = 253_402_300_799_999.0;
    let milliseconds = value.json().and_then(|json| json.parse::<f64>().ok());
    match milliseconds.filter(|milliseconds| (0.0..=LAST).contains(milliseconds)) {
        // Within the range every millisecond is a whole number of a double.
        #[expect(clippy::cast_possible_truncation)]
        Some(milliseconds) => event.time(name, Micros((milliseconds * 1000.0) as i64)),
        None => copy(event, name, value),
    }
}
