//! stub
use crate::database::target::TlsSettings;
use rustls::ClientConfig;
use tokio_postgres_rustls::MakeRustlsConnect;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    Clear,
    Tls,
}
pub(super) struct TlsPlan {
    connector: MakeRustlsConnect,
}
impl std::fmt::Debug for TlsPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsPlan")
    }
}
pub(super) struct TlsFailure {
    pub(super) reason: String,
    pub(super) is_permanent: bool,
}
impl TlsPlan {
    pub(super) fn disabled() -> Self {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("x")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        Self { connector: MakeRustlsConnect::new(config) }
    }
    pub(super) fn of(_: &TlsSettings) -> Result<Self, String> {
        Ok(Self::disabled())
    }
    pub(super) fn attempts(&self) -> &[Attempt] {
        &[Attempt::Clear]
    }
    pub(super) fn connector(&self) -> MakeRustlsConnect {
        self.connector.clone()
    }
    pub(super) fn explain(&self, _: &tokio_postgres::Error, _: &str) -> Option<TlsFailure> {
        None
    }
}
