//! The members of an event, as the forms of an export read them.

use std::borrow::Cow;

use crate::event::{Micros, StoredEvent, is_made_by_relay, json, parse_rfc3339};

/// The members of an event's body. Of a key that comes twice, the last counts.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Members<'a> {
    pub(super) fn of(event: &StoredEvent<'a>) -> Self {
        Self(json::members(event.body).collect())
    }

    /// The JSON text of a member, unless it is null.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().rfind(|(key, _)| key == name);
        found.map(|&(_, value)| value).filter(|&value| value != "null")
    }

    /// The text of a member that is a string, unless it is empty.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let value = self.value(name).filter(|value| value.starts_with('"'));
        value.map(json::decode).filter(|text| !text.is_empty())
    }

    /// The moment by the client's clock.
    pub(super) fn event_time(&self) -> Option<Micros> {
        self.text("eventTime").as_deref().and_then(parse_rfc3339)
    }

    /// When the event happened: a client's clock that is ahead is not believed.
    pub(super) fn moment(&self, received: Micros) -> Micros {
        self.event_time().unwrap_or(received).min(received).in_years()
    }

    /// Whether an instructor, an operator or the relay made the event: it is no student's doing.
    pub(super) fn is_act(&self) -> bool {
        self.text("eventType").is_some_and(|event_type| is_made_by_relay(&event_type))
    }

    /// What tells the cell from the notebook's others: its id, else its position.
    pub(super) fn cell(&self) -> Option<Cow<'a, str>> {
        let position = || self.value("cellIndex").map(|index| format!("[{index}]").into());
        self.text("cellId").or_else(position)
    }
}
