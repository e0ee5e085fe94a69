//! TLS of the relay itself: the certificate and its key, read again on SIGHUP.
//!
//! Certificates are renewed while a relay runs. New connections get the pair that was read last;
//! a pair that cannot be used is reported, and the last good one is kept. Without that, a renewal
//! that writes two files one after the other could leave the relay without any.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::sign::SingleCertAndKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::cryptography::crypto_provider;

/// The longest file of certificates, or of a key, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// How long a handshake may take: as long as a request's header.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that wait to be encrypted and taken, for each connection: beyond it a session waits, as it
/// does for the kernel.
const WRITE_BUFFER: usize = 16 * 1024;

/// Where the certificate and its key are.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    /// The certificate, and those that follow it up to its authority, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

/// The relay's side of TLS. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    files: Arc<TlsFiles>,
    config: Arc<ArcSwap<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the flag whose file cannot be used.
    pub(crate) fn read(files: TlsFiles) -> Result<Self, String> {
        let config = Arc::new(ArcSwap::from_pointee(config(&files)?));
        Ok(Self { files: Arc::new(files), config })
    }

    /// Reads the files again, for new connections.
    pub(crate) fn reread(&self) {
        match config(&self.files) {
            Ok(config) => {
                self.config.store(Arc::new(config));
                tracing::info!("the certificate was read again: new connections get it");
            }
            Err(wrong) => {
                tracing::error!("the certificate that was read before is kept: {wrong}");
            }
        }
    }

    /// Makes the handshake on a new connection.
    ///
    /// # Errors
    /// The handshake's, or that it took too long.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        let mut stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
        stream.get_mut().1.set_buffer_limit(Some(WRITE_BUFFER));
        Ok(stream)
    }
}

fn config(files: &TlsFiles) -> Result<ServerConfig, String> {
    let TlsFiles { certificate, key } = files;
    let text = read(certificate).map_err(|wrong| named("--tls-cert", certificate, &wrong))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| {
        let wrong = "it holds no certificate: it must be a PEM file with BEGIN CERTIFICATE";
        named("--tls-cert", certificate, wrong)
    })?;
    let text = read(key).map_err(|wrong| named("--tls-key", key, &wrong))?;
    let private = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let wrong = "it holds no key that is not encrypted: it must be a PEM file with BEGIN \
                     PRIVATE KEY";
        named("--tls-key", key, wrong)
    })?;
    let provider = crypto_provider();
    let pair = CertifiedKey::from_der(chain, private, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("--tls-key: {} is the key of another certificate", key.display())
        }
        error => format!("--tls-cert and --tls-key cannot be used: {error}"),
    })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| format!("TLS: {error}"))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn named(flag: &str, file: &Path, wrong: &str) -> String {
    format!("{flag}: {}: {wrong}", file.display())
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| error.to_string())
}
