//! Errors for people: what failed, what it was doing, what to do next; and the exit code, chosen in
//! one place.

use std::error::Error;
use std::fmt;

/// Why the program ends without having done what it was asked to. Not an [`Error`] itself, so that
/// `?` makes one of any.
#[derive(Debug)]
pub struct Failure {
    /// 1 for a failure, 2 for usage.
    pub code: u8,
    message: String,
}

impl Failure {
    /// Something failed: exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// It was asked for in a way that cannot be: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(chain(&error))
    }
}

/// An error and its causes on one line, without what a cause repeats.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
