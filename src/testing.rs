//! What the fuzzer needs of the relay's inside. It is no part of the library's interface.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::FutureExt;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

use crate::access::{Access, Config, Credential, JwtConfig, KeysLocation};
use crate::cryptography::install_token_provider;
pub use crate::http::testing::{
    session_of_cookies, token_of_authorization, token_of_first_message,
};

/// Tokens of a secret, and of the keys of a file.
#[derive(Debug)]
pub struct Tokens {
    access: Access,
}

impl Tokens {
    /// With a secret and a JWKS in files.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn new(secret: &Path, keys: &Path) -> Result<Self, String> {
        install_token_provider();
        let jwt = JwtConfig {
            secret_file: Some(secret.to_owned()),
            keys: Some(KeysLocation::File(keys.to_owned())),
            ..JwtConfig::default()
        };
        Access::with(&Config { jwt: Some(jwt), ..Config::default() }).map(|access| Self { access })
    }

    /// The role of the caller that a token names.
    ///
    /// # Errors
    /// The reason why it names none, as the relay answers it.
    pub fn role(&self, token: &str) -> Result<String, String> {
        let credential = Credential::Token(token.to_owned());
        let caller = self.access.resolve(Some(&credential)).now_or_never();
        let caller = caller.ok_or("the keys of files are there at once")?;
        caller.map(|caller| caller.role.to_string()).map_err(|denial| denial.to_string())
    }

    /// A token with any header and any claims, with the signature of HS256.
    pub fn signed(secret: &[u8], header: &[u8], claims: &[u8]) -> Option<String> {
        install_token_provider();
        let encode = |part| BASE64_URL_SAFE_NO_PAD.encode(part);
        let message = format!("{}.{}", encode(header), encode(claims));
        let key = EncodingKey::from_secret(secret);
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).ok()?;
        Some(format!("{message}.{signature}"))
    }
}
