//! The one implementation of cryptography of the whole program: AWS-LC.

use std::sync::{Arc, OnceLock};

use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::jwk::ThumbprintHash;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The provider for every rustls configuration. It is always passed explicitly, so that no
/// configuration depends on which code ran first.
pub(crate) fn crypto_provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

/// Sets the implementation that verifies and signs tokens. Without one, the first token that is
/// verified would end its task with a panic.
pub(crate) fn install_token_provider() {
    // An error means that it is set already.
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
}

/// A SHA-256.
pub(crate) type Digest = [u8; 32];

/// The SHA-256 of some bytes; `None` if the library fails, which it does not.
pub(crate) fn sha256(bytes: &[u8]) -> Option<Digest> {
    let compute = aws_lc::DEFAULT_PROVIDER.key_utils.compute_digest;
    compute(bytes, ThumbprintHash::SHA256).ok()?.try_into().ok()
}
