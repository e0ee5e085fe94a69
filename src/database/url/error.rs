//! Why a connection string cannot be used.

/// How a URL is written, for errors about its form.
const FORM: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";

/// A sentence that names the parameter, the variable or the file. It never repeats a value, since
/// a misplaced character makes a part of the password look like any other part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

impl UrlError {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// An error of the string's form, which the sentence ends with.
    pub(super) fn form(sentence: impl std::fmt::Display) -> Self {
        Self(format!("{sentence}; the form is {FORM}"))
    }
}
