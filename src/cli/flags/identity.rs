//! The flags of the sources of callers: who calls, and what a caller may do.

use std::path::PathBuf;

use clap::Args;

use crate::access::{self, ClaimPointers, JwtConfig, KeysLocation, Pointer};
use crate::error::Failure;

/// The sources of callers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Identity")]
pub(in crate::cli) struct IdentityFlags {
    #[command(flatten)]
    jwt: JwtFlags,
}

/// How tokens are verified.
#[derive(Debug, Args)]
#[command(next_help_heading = "Identity")]
pub(in crate::cli) struct JwtFlags {
    /// The file of the secret with which tokens are signed (HS256): 32 bytes or more, as `openssl
    /// rand -base64 48` makes them; `progress-relay token mint` signs with it. Read again on SIGHUP
    #[arg(long, env = "RELAY_JWT_SECRET_FILE", value_name = "FILE")]
    jwt_secret_file: Option<PathBuf>,
    /// The public keys of an identity provider, as a JWKS (RS256, ES256, EdDSA and their kin): a
    /// file, read again on SIGHUP; or a URL, read again every few minutes, and when a token names a
    /// key that is new
    #[arg(long, env = "RELAY_JWT_KEYS", value_name = "FILE|URL")]
    jwt_keys: Option<KeysLocation>,
    /// Authorities beside the system's that may have signed the certificate of the URL of
    /// --jwt-keys, as a PEM file
    #[arg(long, env = "RELAY_JWT_KEYS_CA", value_name = "FILE")]
    jwt_keys_ca: Option<PathBuf>,
    /// The issuer (claim iss) that a token must name
    #[arg(long, env = "RELAY_JWT_ISSUER", value_name = "TEXT")]
    jwt_issuer: Option<String>,
    /// The audience (claim aud) of which a token must name one; may be given several times. Without
    /// it, a token for any audience is accepted
    #[arg(long, env = "RELAY_JWT_AUDIENCE", value_name = "TEXT", value_delimiter = ',')]
    jwt_audience: Vec<String>,
    /// Where the subject is in a token, as a JSON pointer: a student's id, or the name of a person
    /// or program
    #[arg(long, env = "RELAY_JWT_CLAIM_SUBJECT", value_name = "POINTER", default_value = "/sub")]
    jwt_claim_subject: Pointer,
    /// Where the role is: writer, student, instructor or operator, or a list that has one of them
    #[arg(long, env = "RELAY_JWT_CLAIM_ROLE", value_name = "POINTER", default_value = "/role")]
    jwt_claim_role: Pointer,
    /// Where the classes are: a name, `prefix*` or `*`, or a list of these
    #[arg(
        long,
        env = "RELAY_JWT_CLAIM_CLASSES",
        value_name = "POINTER",
        default_value = "/classes"
    )]
    jwt_claim_classes: Pointer,
    /// Where the name for people is
    #[arg(long, env = "RELAY_JWT_CLAIM_NAME", value_name = "POINTER", default_value = "/name")]
    jwt_claim_name: Pointer,
    /// The list of what is revoked: a token's id (claim jti) or `sub:SUBJECT` a line; `#` begins a
    /// comment. Read again on SIGHUP
    #[arg(long, env = "RELAY_REVOKED", value_name = "FILE")]
    revoked: Option<PathBuf>,
}

impl IdentityFlags {
    /// The sources of callers.
    ///
    /// # Errors
    /// Names a flag that needs another.
    pub(in crate::cli) fn validate(&self) -> Result<access::Config, Failure> {
        self.jwt.validate()
    }
}

impl JwtFlags {
    /// The verification of tokens alone.
    ///
    /// # Errors
    /// Names a flag that needs another.
    pub(in crate::cli) fn validate(&self) -> Result<access::Config, Failure> {
        let needs_keys = [
            ("--jwt-issuer", self.jwt_issuer.is_some()),
            ("--jwt-audience", !self.jwt_audience.is_empty()),
        ];
        let has_keys = self.jwt_secret_file.is_some() || self.jwt_keys.is_some();
        if let Some((flag, _)) = needs_keys.iter().find(|(_, is_given)| *is_given)
            && !has_keys
        {
            return Err(Failure::usage(format!(
                "{flag} is about tokens, and none can be verified: give --jwt-secret-file or \
                 --jwt-keys"
            )));
        }
        if self.jwt_keys_ca.is_some() && !matches!(self.jwt_keys, Some(KeysLocation::Url(_))) {
            return Err(Failure::usage("--jwt-keys-ca needs --jwt-keys URL"));
        }
        let jwt = has_keys.then(|| JwtConfig {
            secret_file: self.jwt_secret_file.clone(),
            keys: self.jwt_keys.clone(),
            keys_authorities: self.jwt_keys_ca.clone(),
            issuer: self.jwt_issuer.clone(),
            audiences: self.jwt_audience.clone(),
            claims: ClaimPointers {
                subject: self.jwt_claim_subject.clone(),
                role: self.jwt_claim_role.clone(),
                classes: self.jwt_claim_classes.clone(),
                name: self.jwt_claim_name.clone(),
            },
        });
        Ok(access::Config { jwt, revoked: self.revoked.clone(), ..access::Config::default() })
    }
}
