//! The keys that tokens are verified with: a secret, or the public keys of a JWKS (RFC 7517).
//!
//! Each key has one algorithm, and a token counts only if its header names the algorithm of the
//! key: the header alone never chooses. So a public key cannot be used as a secret, and `none` is
//! no algorithm.

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::mint::Secret;

/// The bytes of a JWKS.
pub(super) const MAX_JWKS: usize = 1 << 20;
/// The keys of a JWKS.
const MAX_KEYS: usize = 100;
/// The shortest modulus of an RSA key, in bytes.
const MIN_MODULUS: usize = 256;
/// The keys that are tried for a token that names none.
const MAX_TRIED: usize = 8;

/// A key, and the one algorithm that it is for.
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?}, {:?})", self.algorithm, self.id)
    }
}

impl Key {
    /// The key for HS256 of a secret.
    pub(super) fn secret(secret: &Secret) -> Self {
        let decoding = DecodingKey::from_secret(secret.bytes());
        Self { id: None, algorithm: Algorithm::HS256, decoding }
    }

    fn of(jwk: &Jwk) -> Result<Self, &'static str> {
        let algorithm = algorithm(jwk)?;
        let decoding = DecodingKey::from_jwk(jwk).map_err(|_| "its numbers are not base64url")?;
        if let AlgorithmParameters::RSA(parameters) = &jwk.algorithm
            && parameters.n.len() < MIN_MODULUS * 4 / 3
        {
            return Err("an RSA key must have 2048 bits or more");
        }
        Ok(Self { id: jwk.common.key_id.clone(), algorithm, decoding })
    }
}

/// The algorithm of a public key: the one that it names, or the usual one of its kind.
fn algorithm(jwk: &Jwk) -> Result<Algorithm, &'static str> {
    let common = &jwk.common;
    if common.public_key_use == Some(PublicKeyUse::Encryption) {
        return Err("it is for encryption");
    }
    let verifies = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
    if common.key_operations.as_ref().is_some_and(|operations| !verifies(operations)) {
        return Err("it is not for verifying");
    }
    let (usual, others): (_, &[KeyAlgorithm]) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (
            KeyAlgorithm::RS256,
            &[
                KeyAlgorithm::RS384,
                KeyAlgorithm::RS512,
                KeyAlgorithm::PS256,
                KeyAlgorithm::PS384,
                KeyAlgorithm::PS512,
            ],
        ),
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => (KeyAlgorithm::ES256, &[]),
            EllipticCurve::P384 => (KeyAlgorithm::ES384, &[]),
            _ => return Err("its curve is neither P-256 nor P-384"),
        },
        AlgorithmParameters::OctetKeyPair(parameters)
            if parameters.curve == EllipticCurve::Ed25519 =>
        {
            (KeyAlgorithm::EdDSA, &[])
        }
        AlgorithmParameters::OctetKey(_) => {
            return Err("it is a secret (kty oct), which is no key to publish");
        }
        _ => return Err("its kind is none that the relay takes"),
    };
    let named = common.key_algorithm.unwrap_or(usual);
    if named != usual && !others.contains(&named) {
        return Err("its algorithm is none that the relay takes for its kind");
    }
    let name = named.to_string();
    name.parse().map_err(|_| "its algorithm is none that the relay takes")
}

/// The keys of a JWKS.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// The keys that are left out, each with the reason.
    left_out: Vec<String>,
}

/// The keys of a set that a token may have been signed with.
pub(super) enum Candidates<'a> {
    /// These, in order.
    Keys(Vec<&'a Key>),
    /// The set has no key with the id that the token names.
    UnknownId,
}

impl KeySet {
    /// Reads a JWKS. A key that cannot be used is left out: providers publish keys of all kinds.
    ///
    /// # Errors
    /// If it is no JWKS, has too many keys, or none that can be used.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Jwks {
            keys: Vec<Value>,
        }
        if text.len() > MAX_JWKS {
            return Err(format!("it is longer than {MAX_JWKS} bytes"));
        }
        let Jwks { keys: values } = serde_json::from_slice(text)
            .map_err(|error| format!("it is no JWKS, which is {{\"keys\": […]}}: {error}"))?;
        if values.len() > MAX_KEYS {
            return Err(format!("it has {} keys, and may have {MAX_KEYS}", values.len()));
        }
        let (mut keys, mut left_out) = (Vec::new(), Vec::new());
        for (index, value) in values.into_iter().enumerate() {
            let key = serde_json::from_value::<Jwk>(value).map_err(|_| "it is no key");
            match key.and_then(|jwk| Key::of(&jwk)) {
                Ok(key) => keys.push(key),
                Err(reason) => left_out.push(format!("key {}: {reason}", index + 1)),
            }
        }
        if keys.is_empty() {
            return Err(match &*left_out {
                [] => "it has no key".to_owned(),
                reasons => format!("it has no key that can be used ({})", reasons.join("; ")),
            });
        }
        Ok(Self { keys, left_out })
    }

    /// Logs the keys that are left out. A secret in a JWKS is an operator's mistake; other keys are
    /// for other programs.
    pub(super) fn log_left_out(&self) {
        for reason in &self.left_out {
            tracing::warn!("--jwt-keys: a key of the set is not used: {reason}");
        }
    }

    /// The keys for a token of this algorithm, signed with the key of this id.
    pub(super) fn candidates(&self, algorithm: Algorithm, id: Option<&str>) -> Candidates<'_> {
        let of_algorithm = self.keys.iter().filter(|key| key.algorithm == algorithm);
        let Some(id) = id else {
            return Candidates::Keys(of_algorithm.take(MAX_TRIED).collect());
        };
        if !self.keys.iter().any(|key| key.id.as_deref() == Some(id)) {
            return Candidates::UnknownId;
        }
        let named = of_algorithm.filter(|key| key.id.as_deref() == Some(id));
        Candidates::Keys(named.take(MAX_TRIED).collect())
    }
}
