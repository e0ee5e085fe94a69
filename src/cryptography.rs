//! The one implementation of cryptography of the whole program: AWS-LC.

use std::sync::{Arc, OnceLock};

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
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
