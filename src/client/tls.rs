//! TLS to a relay or a service: whom it trusts, and the handshake.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cryptography::crypto_provider;

/// A configuration that trusts the system's authorities, and those of a PEM file.
///
/// # Errors
/// If the file cannot be read, or has no certificate.
pub(super) fn config(authorities: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // Without authorities every handshake fails, and its error says so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = authorities {
        let found: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
        let found = found.map_err(|error| {
            format!("cannot read the certificates of {}: {error}", file.display())
        })?;
        if roots.add_parsable_certificates(found).0 == 0 {
            return Err(format!(
                "{} has no certificate: it must be a PEM file with a line BEGIN CERTIFICATE",
                file.display()
            ));
        }
    }
    let config = ClientConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Makes a connection to this host a TLS connection.
pub(super) async fn handshake(
    stream: TcpStream,
    host: &url::Host<String>,
) -> io::Result<Box<TlsStream<TcpStream>>> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| config(None).map(Arc::new));
    let config = config.as_ref().map_err(|error| io::Error::other(error.as_str()))?;
    let name = match host {
        url::Host::Domain(name) => ServerName::try_from(name.clone())
            .map_err(|error| io::Error::other(error.to_string()))?,
        url::Host::Ipv4(address) => ServerName::from(std::net::IpAddr::V4(*address)),
        url::Host::Ipv6(address) => ServerName::from(std::net::IpAddr::V6(*address)),
    };
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map(Box::new)
}
