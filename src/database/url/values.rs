//! The values of the parameters, each with its source: the string, a service, or a variable.

use std::collections::BTreeMap;

use super::error::UrlError;
use super::parameters::{Treatment, find, nearest};

/// Where a value was found. The first that has one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Text,
    Service,
    Variable,
}

/// A value. It may be a password, and has no `Debug`.
pub(super) struct Value {
    pub(super) text: String,
    pub(super) source: Source,
    label: String,
}

impl Value {
    /// Its text in lower case, for a value that is one of a list.
    pub(super) fn word(&self) -> String {
        self.text.to_ascii_lowercase()
    }

    /// The parameter's name with the source, for errors: `sslmode`, or `PGSSLMODE`.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// An error about it.
    pub(super) fn wrong(&self, sentence: impl std::fmt::Display) -> UrlError {
        UrlError::new(format!("{}: {sentence}", self.label))
    }
}

/// The values that are set, by the parameter's name.
#[derive(Default)]
pub(super) struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// Sets a parameter of the string. As in libpq, the last one counts.
    pub(super) fn set(&mut self, name: &'static str, text: String) {
        self.0.insert(name, value(name, text, Source::Text));
    }

    /// Sets a parameter of a service or a variable, if it is not set yet. One that was set to an
    /// empty text stays empty.
    pub(super) fn fill(&mut self, name: &'static str, text: String, source: Source) {
        self.0.entry(name).or_insert_with(|| value(name, text, source));
    }

    /// A value, unless it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.text.is_empty())
    }

    /// The text of a value, unless it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|value| value.text.as_str())
    }

    /// The text of a value that is one of a list, in lower case.
    pub(super) fn word(&self, name: &str) -> Option<String> {
        self.get(name).map(Value::word)
    }

    /// Refuses the parameters that the relay cannot honour, and values that are not on their list.
    pub(super) fn check(&self) -> Result<(), UrlError> {
        for (name, value) in self.0.iter().filter(|(_, value)| !value.text.is_empty()) {
            match find(name).map(|parameter| &parameter.treatment) {
                Some(Treatment::Refused(sentence)) => return Err(value.wrong(sentence)),
                Some(Treatment::OneOf(words, sentence))
                    if !words.iter().any(|word| value.text.eq_ignore_ascii_case(word)) =>
                {
                    return Err(value.wrong(sentence));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn value(name: &'static str, text: String, source: Source) -> Value {
    let variable = || find(name)?.variable;
    let label = match source {
        Source::Text => name.to_owned(),
        Source::Service => format!("{name} of the service"),
        Source::Variable => variable().unwrap_or(name).to_owned(),
    };
    Value { text, source, label }
}

/// The parameter of this name. `may_be_secret` says that the name may be a part of a password, and
/// must not be repeated.
pub(super) fn known(name: &str, may_be_secret: bool) -> Result<&'static str, UrlError> {
    const LONGEST: usize = 63;
    if let Some(parameter) = find(name) {
        return Ok(parameter.name);
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    if may_be_secret || name.is_empty() || name.len() > LONGEST || !name.chars().all(plain) {
        return Err(UrlError::new(
            "there is a parameter whose name is not known; if it is a part of a password, escape \
             the password (in a URL by %2F for /, %3F for ?, %26 for &, %40 for @; else in quotes)",
        ));
    }
    let hint = match nearest(name) {
        Some(nearest) => format!("the nearest known one is {nearest}"),
        None => "remove it".to_owned(),
    };
    Err(UrlError::new(format!("the parameter {name} is not known; {hint}")))
}
