//! Secrets, the tokens that are signed with them, and tokens as they are before they are verified.

use std::fmt;
use std::path::Path;

use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value};

use crate::access::files;

/// The longest file of a secret, in bytes.
const MAX_FILE: usize = 64 * 1024;
/// The shortest secret, in bytes: RFC 7518 demands the length of the hash.
const MIN_SECRET: usize = 32;

/// A secret for HS256.
pub(crate) struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The secret of a file. A line break at its end does not count, since editors and `echo` write
    /// one.
    ///
    /// # Errors
    /// If it cannot be read, or is too short.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let failed = |error: String| format!("--jwt-secret-file {}: {error}", file.display());
        let mut secret = files::read(file, MAX_FILE).map_err(failed)?;
        secret.truncate(trim_line_break(&secret).len());
        if secret.len() < MIN_SECRET {
            return Err(failed(format!(
                "the secret has {} bytes, and needs {MIN_SECRET} or more: make one with `openssl \
                 rand -base64 48`",
                secret.len()
            )));
        }
        Ok(Self(secret))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Signs claims.
    ///
    /// # Errors
    /// If they cannot be signed.
    pub(crate) fn mint(&self, claims: &Map<String, Value>) -> Result<String, String> {
        let key = EncodingKey::from_secret(&self.0);
        encode(&Header::new(Algorithm::HS256), claims, &key).map_err(|error| error.to_string())
    }
}

fn trim_line_break(file: &[u8]) -> &[u8] {
    let file = file.strip_suffix(b"\n").unwrap_or(file);
    file.strip_suffix(b"\r").unwrap_or(file)
}

/// The parts of a token, unverified: for people who look at it, and for nothing else.
pub(crate) struct Unverified {
    /// The algorithm of the header.
    pub algorithm: String,
    /// The key that the header names.
    pub key: Option<String>,
    /// The claims.
    pub claims: Map<String, Value>,
}

impl Unverified {
    /// Takes a token apart; `None` if it is none.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let token = insecure_decode::<Map<String, Value>>(token).ok()?;
        let algorithm = format!("{:?}", token.header.alg);
        Some(Self { algorithm, key: token.header.kid, claims: token.claims })
    }
}
