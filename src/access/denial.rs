//! Why a credential does not prove who calls.

use std::time::Duration;

/// Why a caller is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    /// The request brings no credential.
    #[error("no credential: sign in, or send Authorization: Bearer TOKEN")]
    Missing,
    /// The credential is not one of this relay's. The reason never repeats it.
    #[error("the credential is not valid: {0}")]
    Invalid(String),
    /// The credential has ended.
    #[error("the credential has expired: sign in again, or ask for a new token")]
    Expired,
    /// The credential was revoked.
    #[error("the credential was revoked: sign in again, or ask for a new token")]
    Revoked,
    /// The source that knows the credential cannot be asked now.
    #[error("who calls cannot be found out now: {reason}")]
    Unavailable {
        /// The source, and what it said.
        reason: String,
        /// When to ask again.
        retry_after: Duration,
    },
}
