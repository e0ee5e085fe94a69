//! Reading members of JSON that other clients wrote.

use std::borrow::Cow;

use crate::event::json;

/// A JSON value, or none. `null` is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a>(Option<&'a str>);

impl<'a> Value<'a> {
    pub(super) const NONE: Self = Self(None);

    /// A value of valid JSON.
    pub(super) fn of(text: &'a str) -> Self {
        Self(Some(text).filter(|&text| text != "null"))
    }

    /// A member of an object; of a key that comes twice, the last one.
    pub(super) fn get(self, name: &str) -> Self {
        let members = json::members(self.0.unwrap_or_default());
        let found = members.filter(|(key, _)| key == name).last();
        found.map_or(Self::NONE, |(_, value)| Self::of(value))
    }

    /// The first value that is there.
    pub(super) fn or(self, other: Self) -> Self {
        if self.0.is_some() { self } else { other }
    }

    /// The value, if its JSON text is as asked for.
    pub(super) fn filter(self, is_wanted: impl Fn(&str) -> bool) -> Self {
        Self(self.0.filter(|&text| is_wanted(text)))
    }

    /// The elements of an array.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        json::elements(self.0.unwrap_or_default()).map(Self::of)
    }

    /// The JSON text.
    pub(super) fn json(self) -> Option<&'a str> {
        self.0
    }

    pub(super) fn exists(self) -> bool {
        self.0.is_some()
    }

    pub(super) fn is_object(self) -> bool {
        self.0.is_some_and(|text| text.starts_with('{'))
    }

    pub(super) fn is_true(self) -> bool {
        self.0 == Some("true")
    }

    /// The text of a string, or of an array of strings, whose elements are lines of a notebook.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let text = self.0?;
        match text.as_bytes() {
            [b'"', ..] => Some(json::decode(text)),
            [b'[', ..] => {
                let lines = json::elements(text).filter(|line| line.starts_with('"'));
                Some(Cow::Owned(lines.map(|line| json::decode(line).into_owned()).collect()))
            }
            _ => None,
        }
    }

    /// The text of a string.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        self.0.filter(|text| text.starts_with('"')).map(json::decode)
    }
}
