//! Reads the files of certificates, keys and lists of revoked certificates.
//!
//! Each error names the file, the reason, and what to do.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{fs, io};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate::Parsed;
use crate::cryptography::crypto_provider;
use crate::database::key_file;

/// Whether a file does not exist. libpq does without such a file where it may.
pub(super) fn is_missing(file: &Path) -> bool {
    let missing = [ErrorKind::NotFound, ErrorKind::NotADirectory];
    fs::metadata(file).is_err_and(|error| missing.contains(&error.kind()))
}

/// The certificates of a PEM file.
///
/// # Errors
/// If it cannot be read, or has none.
pub(super) fn certificates(file: &Path, parameter: &str) -> Result<Vec<Parsed>, String> {
    let text = read(file, parameter)?;
    let mut certificates = Vec::new();
    for der in CertificateDer::pem_slice_iter(&text) {
        let parsed = der.ok().and_then(|der| Parsed::of(&der).ok());
        certificates.push(parsed.ok_or_else(|| {
            format!(
                "{parameter}: certificate {} of {} is damaged: `openssl x509 -in FILE -text` must \
                 be able to show it",
                certificates.len() + 1,
                file.display()
            )
        })?);
    }
    if certificates.is_empty() {
        return Err(format!(
            "{parameter}: {} has no certificate: it must be a PEM file with a line BEGIN \
             CERTIFICATE",
            file.display()
        ));
    }
    Ok(certificates)
}

/// The certificates that the system trusts.
///
/// # Errors
/// If there are none.
pub(super) fn system_certificates() -> Result<Vec<Parsed>, String> {
    let found = rustls_native_certs::load_native_certs();
    // A certificate that cannot be read is left out: the system's list is not the operator's work.
    let certificates: Vec<_> = found.certs.iter().filter_map(|der| Parsed::of(der).ok()).collect();
    if certificates.is_empty() {
        let reason = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "sslrootcert=system: this system has no trusted certificates{reason}: install its \
             package ca-certificates, or set SSL_CERT_FILE or SSL_CERT_DIR"
        ));
    }
    Ok(certificates)
}

/// The lists of revoked certificates of a PEM file.
///
/// # Errors
/// If it cannot be read, or has none.
pub(super) fn revoked(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let text = read(file, "sslcrl")?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
    match lists {
        Ok(lists) if !lists.is_empty() => Ok(lists),
        _ => Err(format!(
            "sslcrl: {} has no list of revoked certificates: it must be a PEM file with a line \
             BEGIN X509 CRL",
            file.display()
        )),
    }
}

/// The certificate by which the relay is known to the server, with the certificates that follow it
/// in its file, and its key.
///
/// # Errors
/// If a file cannot be used, others can read the key, or the key is another certificate's.
pub(super) fn client(certificate: &Path, key: &Path) -> Result<CertifiedKey, String> {
    let chain = certificates(certificate, "sslcert")?;
    let signing = crypto_provider().key_provider.load_private_key(private_key(key)?);
    let signing = signing.map_err(|_| {
        format!(
            "sslkey: the key in {} is of a kind that the relay does not support: make an ECDSA \
             (P-256, P-384), Ed25519 or RSA key (2048 bits or more)",
            key.display()
        )
    })?;
    // Compared here, since rustls cannot read every certificate that PostgreSQL accepts.
    let own = chain.first().and_then(|certificate| certificate.key().ok());
    if let (Some(own), Some(public)) = (own, signing.public_key())
        && own != public.as_ref()
    {
        return Err(format!(
            "sslkey: {} is not the key of the first certificate in {}: the client's own \
             certificate must come first, and sslkey must be its key",
            key.display(),
            certificate.display()
        ));
    }
    let chain = chain.into_iter().map(|certificate| certificate.der).collect();
    Ok(CertifiedKey::new(chain, signing))
}

/// Reads a private key: PKCS#8, PKCS#1 or SEC1, in PEM or DER.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    if is_missing(file) {
        return Err(format!(
            "sslkey: {} does not exist: sslcert names a certificate, and its key must be there too",
            file.display()
        ));
    }
    let text = read(file, "sslkey")?;
    if fs::metadata(file).is_ok_and(|found| key_file::is_open(found.uid(), found.mode())) {
        return Err(format!(
            "sslkey: others than its owner can use {}: run `chmod 600` on it (a key of root's may \
             have 640)",
            file.display()
        ));
    }
    if is_encrypted(&text) {
        return Err(format!(
            "sslkey: the key in {file} is encrypted, and the relay starts without asking for a \
             password: `openssl pkey -in {file} -out NEW` decrypts it",
            file = file.display()
        ));
    }
    if let Ok(key) = PrivateKeyDer::from_pem_slice(&text) {
        return Ok(key);
    }
    PrivateKeyDer::try_from(text).map_err(|_| {
        format!(
            "sslkey: {} has no private key: it must be a PEM file with a line BEGIN PRIVATE KEY, \
             BEGIN RSA PRIVATE KEY or BEGIN EC PRIVATE KEY",
            file.display()
        )
    })
}

/// Whether a PEM file has an encrypted key: of PKCS#8, or of the older form with a header.
fn is_encrypted(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY")
            || (line.starts_with(b"Proc-Type:") && line.trim_ascii_end().ends_with(b"ENCRYPTED"))
    })
}

/// Reads a file.
fn read(file: &Path, parameter: &str) -> Result<Vec<u8>, String> {
    let hint = |error: &io::Error| match error.kind() {
        ErrorKind::NotFound => "correct the path",
        ErrorKind::PermissionDenied => "let the user that runs the relay read it",
        _ => "it must be a file that can be read",
    };
    fs::read(file).map_err(|error| {
        format!("{parameter}: cannot read {}: {error}: {}", file.display(), hint(&error))
    })
}
