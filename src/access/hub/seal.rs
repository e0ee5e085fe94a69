//! Sealed texts: a browser keeps them for the relay, and can neither read nor change them.
//!
//! The key is derived from the service's token. Replicas that have the same token open each other's
//! sealed texts; a new token ends them, which means that people sign in once more.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Names the key's use, so that no other use of the token gives the same key.
const KEY_NAME: &[u8] = b"progress-relay: what browsers keep for a service of JupyterHub";

/// Seals and opens texts.
pub(super) struct Seal {
    key: RandomizedNonceKey,
}

/// What a sealed text is for: one that was sealed for one purpose cannot be opened for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A session.
    Session,
    /// A sign-in that has begun.
    SignIn,
}

impl Purpose {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Session => b"session",
            Self::SignIn => b"sign-in",
        }
    }
}

impl Seal {
    /// A seal whose key is derived from `secret`.
    ///
    /// # Errors
    /// If the library refuses the key, which it does for no token.
    pub(super) fn new(secret: &str) -> Result<Self, String> {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), KEY_NAME);
        let key = RandomizedNonceKey::new(&AES_256_GCM, derived.as_ref());
        let key = key.map_err(|_| "no key can be made of the hub's token".to_owned())?;
        Ok(Self { key })
    }

    /// Seals a value.
    ///
    /// # Errors
    /// If this machine gives no random numbers.
    pub(super) fn seal(
        &self,
        purpose: Purpose,
        value: &impl Serialize,
    ) -> Result<String, Unspecified> {
        let mut bytes = serde_json::to_vec(value).map_err(|_| Unspecified)?;
        let nonce = self.key.seal_in_place_append_tag(Aad::from(purpose.name()), &mut bytes)?;
        let sealed = [nonce.as_ref().as_slice(), &bytes].concat();
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The value of a sealed text; `None` if this key has not sealed it for this purpose.
    pub(super) fn open<T: DeserializeOwned>(&self, purpose: Purpose, text: &str) -> Option<T> {
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, bytes) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.key.open_in_place(nonce, Aad::from(purpose.name()), bytes).ok()?;
        serde_json::from_slice(opened).ok()
    }
}

/// A text of 256 random bits.
///
/// # Errors
/// If this machine gives no random numbers.
pub(super) fn random_text() -> Result<String, Unspecified> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_for_its_purpose_and_with_its_key_alone() {
        let seal = Seal::new("token").expect("a key");
        let text = seal.seal(Purpose::Session, &"secret").expect("sealed");
        assert!(!text.contains("secret"));
        assert_ne!(text, seal.seal(Purpose::Session, &"secret").expect("sealed"));
        let open = |seal: &Seal, purpose, text: &str| seal.open::<String>(purpose, text);
        assert_eq!(open(&seal, Purpose::Session, &text).as_deref(), Some("secret"));
        let replica = Seal::new("token").expect("a key");
        assert_eq!(open(&replica, Purpose::Session, &text).as_deref(), Some("secret"));
        assert_eq!(open(&seal, Purpose::SignIn, &text), None);
        assert_eq!(open(&Seal::new("other").expect("a key"), Purpose::Session, &text), None);
        for wrong in ["", "x", "AAAA", &text[1..], &text[..text.len() - 2], &format!("{text}AAAA")]
        {
            assert_eq!(open(&seal, Purpose::Session, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn random_texts_differ() {
        assert_ne!(random_text().expect("random"), random_text().expect("random"));
    }
}
