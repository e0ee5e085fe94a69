//! The command line: one file a subcommand. Raw arguments are parsed here and validated once, before anything runs.

pub mod simulate;
pub mod tail;
pub mod units;

use crate::error::Failure;
use crate::http::client::BaseUrl;

/// The URL of `--url`.
fn base_url(text: &str) -> Result<BaseUrl, Failure> {
    BaseUrl::parse(text).map_err(|error| Failure::usage(format!("--url: {error}")))
}
