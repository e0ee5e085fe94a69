//! The flag `--url`, which names a relay.

use crate::client::BaseUrl;
use crate::error::Failure;

/// Parses a value of `--url`.
///
/// # Errors
/// If it is no URL of a relay.
pub(super) fn parse_relay_url(text: &str) -> Result<BaseUrl, Failure> {
    BaseUrl::parse(text).map_err(|error| Failure::usage(format!("--url: {error}")))
}
