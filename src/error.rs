//! The error with which a command ends: a message for the operator, and the exit code.

use std::error::Error;
use std::fmt;

/// Why a command failed. It is no [`Error`] itself, so that `?` converts any error into one.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code: 1 for a failure, 2 for wrong usage.
    pub code: u8,
    message: String,
}

impl Failure {
    /// A failure of the command, with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// Wrong usage of the command, with exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            if error.is::<WrongUsage>() {
                return Self::usage(chain(error));
            }
            cause = error.source();
        }
        Self::new(chain(&error))
    }
}

/// The cause of an error that the caller's flags or variables must mend. A command that fails for
/// it ends with the exit code of wrong usage.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(String);

impl WrongUsage {
    /// The cause in words, with what to do about it.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// The texts of an error and of its causes on one line. A cause whose text is already in the line
/// is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
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
