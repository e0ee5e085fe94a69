//! Tokens (RFC 7519) that an operator mints with a secret, or that an identity provider signs.
//!
//! - `keys`: each key with its one algorithm; `remote`: the keys at a URL
//! - `mint`: secrets, and tokens signed with them
//! - `claims`: what a token must say, and the caller that it names
//! - `verified`: the callers of tokens that were verified lately
//!
//! A token passes these steps, and the first that fails refuses it: its form; the choice of a key
//! by its header; the signature; issuer and audience; times; the claims of the caller. No step
//! trusts what a later one checks.

mod claims;
mod keys;
mod mint;
mod remote;
#[cfg(test)]
mod tests;
mod verified;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use self::claims::{Claims, invalid};
use self::keys::{Candidates, Key, KeySet, MAX_JWKS};
pub(crate) use self::mint::{Secret, Unverified};
use self::remote::RemoteKeys;
use self::verified::Verified;
use super::caller::Caller;
use super::config::{JwtConfig, KeysLocation};
use super::denial::Denial;
use super::files;
use crate::client::service::ServiceClient;

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// Verifies tokens.
#[derive(Debug)]
pub(super) struct Verifier {
    config: JwtConfig,
    secret: Option<ArcSwap<Key>>,
    public: Option<PublicKeys>,
    verified: Verified,
    /// Counts the changes of the keys.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
enum PublicKeys {
    File(ArcSwap<KeySet>),
    Url {
        keys: Arc<RemoteKeys>,
        /// Fetches the keys until the verifier is dropped.
        _task: AbortOnDropHandle<()>,
    },
}

impl Verifier {
    /// A verifier with the keys of the files. Those of a URL are fetched in the background. A
    /// change of them is counted in `changes`.
    ///
    /// # Errors
    /// Names the flag whose file cannot be used.
    pub(super) fn start(config: &JwtConfig, changes: &watch::Sender<u64>) -> Result<Self, String> {
        if config.keys.is_some() && config.audiences.is_empty() {
            tracing::warn!(
                "--jwt-keys without --jwt-audience: a token that its owner got for another program \
                 is accepted here too"
            );
        }
        let secret = match &config.secret_file {
            Some(file) => Some(ArcSwap::from_pointee(read_secret(file)?)),
            None => None,
        };
        let public = match &config.keys {
            Some(KeysLocation::File(file)) => {
                Some(PublicKeys::File(ArcSwap::from_pointee(read_keys(file)?)))
            }
            Some(KeysLocation::Url(url)) => {
                let client = ServiceClient::new(config.keys_authorities.as_deref())
                    .map_err(|error| format!("--jwt-keys-ca: {error}"))?;
                let keys = Arc::new(RemoteKeys::new(url.clone(), client, changes.clone()));
                let task = tokio::spawn(Arc::clone(&keys).refresh_forever());
                Some(PublicKeys::Url { keys, _task: AbortOnDropHandle::new(task) })
            }
            None => None,
        };
        let changes = changes.clone();
        Ok(Self { config: config.clone(), secret, public, verified: Verified::default(), changes })
    }

    /// Waits until the keys of a URL have been asked for once.
    pub(super) async fn first_look(&self) {
        if let Some(PublicKeys::Url { keys, .. }) = &self.public {
            keys.first_look().await;
        }
    }

    /// Reads the files again, and asks for the keys of a URL. A file that cannot be used leaves the
    /// keys as they are.
    pub(super) fn reread(&self) {
        if let (Some(secret), Some(file)) = (&self.secret, &self.config.secret_file) {
            match read_secret(file) {
                Ok(key) => secret.store(Arc::new(key)),
                Err(error) => tracing::error!("{error}; the relay keeps the secret that it has"),
            }
        }
        match (&self.public, &self.config.keys) {
            (Some(PublicKeys::File(keys)), Some(KeysLocation::File(file))) => {
                match read_keys(file) {
                    Ok(set) => keys.store(Arc::new(set)),
                    Err(error) => tracing::error!("{error}; the relay keeps the keys that it has"),
                }
            }
            (Some(PublicKeys::Url { keys, .. }), _) => keys.want(),
            _ => {}
        }
        self.verified.clear();
    }

    /// The caller that a token names.
    ///
    /// # Errors
    /// Why it names none.
    pub(super) async fn verify(&self, token: &str) -> Result<Caller, Denial> {
        if token.len() > MAX_TOKEN {
            return Err(invalid("it is too long"));
        }
        let (now, changes) = (SystemTime::now(), *self.changes.borrow());
        let Some(digest) = Verified::digest(token) else { return self.caller(token, now).await };
        if let Some(caller) = self.verified.get(&digest, changes, now) {
            return Ok(caller);
        }
        let caller = self.caller(token, now).await?;
        self.verified.put(digest, changes, caller.clone());
        Ok(caller)
    }

    async fn caller(&self, token: &str, now: SystemTime) -> Result<Caller, Denial> {
        let header = decode_header(token).map_err(|_| {
            invalid("it is no token that the relay takes (a JWT with a known algorithm)")
        })?;
        if header.crit.is_some() {
            return Err(invalid("its header demands what the relay does not know (crit)"));
        }
        let claims = match (header.alg, &self.secret) {
            (Algorithm::HS256, Some(key)) => self.open(token, &[&key.load_full()])?,
            (Algorithm::HS256, None) => return Err(no_key(&header)),
            // No secret is for these; and a token that no key can be for makes nobody look for one.
            (Algorithm::HS384 | Algorithm::HS512, _) => return Err(other_algorithm()),
            _ => self.open_with_public_key(token, &header).await?,
        };
        claims.caller(&self.config.claims, now)
    }

    async fn open_with_public_key(&self, token: &str, header: &Header) -> Result<Claims, Denial> {
        let set = match &self.public {
            None => return Err(no_key(header)),
            Some(PublicKeys::File(keys)) => keys.load_full(),
            Some(PublicKeys::Url { keys, .. }) => keys.current()?,
        };
        let id = header.kid.as_deref();
        if let Candidates::Keys(keys) = set.candidates(header.alg, id) {
            return self.open(token, &keys);
        }
        let unknown = || invalid("the key that it names (kid) is none of the relay's");
        let Some(PublicKeys::Url { keys, .. }) = &self.public else { return Err(unknown()) };
        match keys.reread().await?.candidates(header.alg, id) {
            Candidates::Keys(keys) => self.open(token, &keys),
            Candidates::UnknownId => Err(unknown()),
        }
    }

    /// The claims of a token that one of the keys has signed, for this relay.
    fn open(&self, token: &str, keys: &[&Key]) -> Result<Claims, Denial> {
        let Some(last) = keys.len().checked_sub(1) else {
            return Err(other_algorithm());
        };
        for (index, key) in keys.iter().enumerate() {
            let validation = self.validation(key.algorithm);
            match decode::<Box<RawValue>>(token, &key.decoding, &validation) {
                Ok(opened) => return Claims::parse(opened.claims.get()),
                Err(error) if index < last && is_other_key(&error) => {}
                Err(error) => return Err(refused(&error)),
            }
        }
        Err(invalid("it is not signed by a key of the relay's"))
    }

    /// What the library checks: the signature, the issuer and the audience. The other claims are
    /// checked with the caller.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        let mut required = Vec::new();
        validation.validate_exp = false;
        // Without a configured audience, a token may be for any.
        validation.validate_aud = !self.config.audiences.is_empty();
        if validation.validate_aud {
            validation.set_audience(&self.config.audiences);
            required.push("aud");
        }
        if let Some(issuer) = &self.config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

fn other_algorithm() -> Denial {
    invalid("its algorithm is not that of a key of the relay's")
}

fn no_key(header: &Header) -> Denial {
    let flag = if header.alg == Algorithm::HS256 { "--jwt-secret-file" } else { "--jwt-keys" };
    invalid(&format!("it is signed with {:?}, and the relay has no {flag}", header.alg))
}

/// Whether another key may fit.
fn is_other_key(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience | ErrorKind::MissingRequiredClaim(_)
    )
}

fn refused(error: &Error) -> Denial {
    invalid(match error.kind() {
        ErrorKind::InvalidSignature => "it is not signed by a key of the relay's",
        ErrorKind::InvalidAlgorithm => "its algorithm is not that of its key",
        ErrorKind::InvalidIssuer => "claim iss is not --jwt-issuer",
        ErrorKind::InvalidAudience => "claim aud names none of --jwt-audience",
        ErrorKind::MissingRequiredClaim(name) if name == "aud" => "claim aud is missing",
        ErrorKind::MissingRequiredClaim(_) => "claim iss is missing",
        ErrorKind::Json(_) | ErrorKind::Utf8(_) => "its claims are no JSON object",
        _ => "it is damaged",
    })
}

fn read_secret(file: &Path) -> Result<Key, String> {
    Secret::read(file).map(|secret| Key::secret(&secret))
}

fn read_keys(file: &Path) -> Result<KeySet, String> {
    let set = files::read(file, MAX_JWKS).and_then(|text| KeySet::parse(&text));
    let set = set.map_err(|error| format!("--jwt-keys {}: {error}", file.display()))?;
    set.log_left_out();
    Ok(set)
}
