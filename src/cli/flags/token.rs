//! The flags of the token that a command sends to a relay.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;

use crate::client::BaseUrl;
use crate::error::Failure;

/// The longest file of a token, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// The token that the relay is sent.
#[derive(Clone, Args)]
pub(in crate::cli) struct TokenFlags {
    /// The token that the relay is sent, of a caller who may do this; --token-file or the variable
    /// is better, since the others on a machine see a command's arguments
    #[arg(long, env = "RELAY_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file that holds the token, instead of --token
    #[arg(long, env = "RELAY_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl std::fmt::Debug for TokenFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenFlags").finish_non_exhaustive()
    }
}

impl TokenFlags {
    /// The relay, which is sent the token if there is one.
    ///
    /// # Errors
    /// If the file cannot be read, or what it has is no token.
    pub(in crate::cli) fn apply(&self, relay: BaseUrl) -> Result<BaseUrl, Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("the token (--token-file, RELAY_TOKEN): {error}"))
        };
        let token = match (&self.token_file, &self.token) {
            (None, None) => return Ok(relay),
            (None, Some(token)) => token.clone(),
            (Some(file), _) => {
                let mut text = String::new();
                let read =
                    File::open(file).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
                read.map_err(|error| wrong(&format!("{}: {error}", file.display())))?;
                text
            }
        };
        relay.with_token(token.trim()).map_err(|error| wrong(&error))
    }
}
