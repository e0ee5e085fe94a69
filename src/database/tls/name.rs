//! libpq's rules for the names in a server's certificate.
//!
//! - A name of the kind `dNSName` is the host's name, in either case; or `*.` and the host's name
//!   without its first label.
//! - An `iPAddress` is the host's address. An address as text may also be a `dNSName`.
//! - The subject's first common name counts only if the certificate has no name of the kind that
//!   is looked for (`iPAddress` for an address, `dNSName` for a name), and nothing matched.
//! - A name with a zero byte is refused: what follows it must not be hidden from a reader in C.

use std::net::IpAddr;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::certificate::Parsed;

/// Checks that `certificate` is for `host`.
///
/// # Errors
/// If it is not; the error has the names that it is for.
pub(super) fn verify_name(certificate: &Parsed, host: &ServerName<'_>) -> Result<(), Error> {
    let address = match host {
        ServerName::IpAddress(address) => Some(IpAddr::from(*address)),
        _ => None,
    };
    let text = host.to_str();
    let alternatives = certificate.fields.tbs_certificate.get::<SubjectAltName>();
    let alternatives = alternatives.map_err(|_| CertificateError::BadEncoding)?;
    let mut presented = Vec::new();
    let mut has_kind = false;
    for name in alternatives.iter().flat_map(|(_, names)| &names.0) {
        let matches = match name {
            GeneralName::DnsName(name) => {
                has_kind |= address.is_none();
                let matches = matches_text(name.as_bytes(), &text)?;
                presented.push(name.to_string());
                matches
            }
            GeneralName::IpAddress(bytes) => {
                has_kind |= address.is_some();
                let found = address_of(bytes.as_bytes())?;
                presented.push(found.to_string());
                address == Some(found)
            }
            _ => false,
        };
        if matches {
            return Ok(());
        }
    }
    if !has_kind && let Some(name) = common_name(certificate) {
        if matches_text(name, &text)? {
            return Ok(());
        }
        presented.push(String::from_utf8_lossy(name).into_owned());
    }
    Err(CertificateError::NotValidForNameContext { expected: host.to_owned(), presented }.into())
}

/// The subject's first common name.
fn common_name(certificate: &Parsed) -> Option<&[u8]> {
    let subject = &certificate.fields.tbs_certificate.subject;
    let mut attributes = subject.0.iter().flat_map(|part| part.0.iter());
    attributes.find(|attribute| attribute.oid == COMMON_NAME).map(|name| name.value.value())
}

/// Whether a name of a certificate is `host`, or is a pattern that `host` matches.
///
/// # Errors
/// If it has a zero byte.
fn matches_text(name: &[u8], host: &str) -> Result<bool, Error> {
    if name.contains(&0) {
        return Err(CertificateError::BadEncoding.into());
    }
    if name.eq_ignore_ascii_case(host.as_bytes()) {
        return Ok(true);
    }
    let Some(domain) = name.strip_prefix(b"*.").filter(|domain| !domain.is_empty()) else {
        return Ok(false);
    };
    // The star stands for one label that is not empty.
    let matches = host.split_once('.').is_some_and(|(label, rest)| {
        !label.is_empty() && domain.eq_ignore_ascii_case(rest.as_bytes())
    });
    Ok(matches)
}

/// The address in an `iPAddress`.
///
/// # Errors
/// If it has the length of neither kind of address.
fn address_of(bytes: &[u8]) -> Result<IpAddr, Error> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Ok(bytes.into());
    }
    let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| CertificateError::BadEncoding)?;
    Ok(bytes.into())
}
