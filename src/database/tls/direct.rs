//! Server certificates that OpenSSL accepts and webpki refuses as such. They are common with
//! PostgreSQL:
//!
//! - a certificate that is itself in the file of the roots: one server, one self-signed
//!   certificate, given to each client;
//! - a certificate of version 1, as `openssl x509 -req` makes it in PostgreSQL's manual;
//! - a certificate that says it is an authority's, as `openssl req -x509` makes it unless told
//!   otherwise.
//!
//! Only the direct way is checked here: the certificate is one of the roots, or one of the roots
//! has signed it. A chain with intermediate authorities is webpki's.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{SignatureVerificationAlgorithm, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error};

use super::certificate::{Parsed, algorithm};

/// Whether webpki refuses a certificate for its form alone.
pub(super) fn is_refused_by_form(certificate: &Parsed) -> bool {
    certificate.is_version_1() || certificate.is_marked_as_authority()
}

/// Verifies that `certificate` is one of `roots`, or that one of them has signed it.
///
/// # Errors
/// If neither is so, or if `certificate` may not be used now.
pub(super) fn verify_direct(
    certificate: &Parsed,
    roots: &[Parsed],
    algorithms: &WebPkiSupportedAlgorithms,
    now: UnixTime,
) -> Result<(), Error> {
    certificate.check_dates(now)?;
    if roots.iter().any(|root| root.der == certificate.der) {
        return Ok(());
    }
    if certificate.has_unknown_critical() {
        return Err(CertificateError::UnhandledCriticalExtension.into());
    }
    let issuer = &certificate.fields.tbs_certificate.issuer;
    let mut error = Error::from(CertificateError::UnknownIssuer);
    for root in roots {
        let may_sign = root.may_sign() && !root.is_limited_to_names();
        if root.fields.tbs_certificate.subject == *issuer && may_sign {
            match root.check_dates(now).and_then(|()| is_signed_by(certificate, root, algorithms)) {
                Ok(()) => return Ok(()),
                Err(reason) => error = reason,
            }
        }
    }
    Err(error)
}

/// Verifies that the key of `root` has signed `certificate`.
fn is_signed_by(
    certificate: &Parsed,
    root: &Parsed,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Error> {
    let signed_by = algorithm(&certificate.fields.signature_algorithm)?;
    // The algorithm stands twice in a certificate, once below the signature. Both must be the same.
    if algorithm(&certificate.fields.tbs_certificate.signature)? != signed_by {
        return Err(CertificateError::BadEncoding.into());
    }
    let candidates = algorithms.all.iter().copied();
    let candidates = candidates.filter(|candidate| *candidate.signature_alg_id() == *signed_by);
    let signature = certificate.fields.signature.as_bytes().unwrap_or_default();
    verify_signature(root, candidates, certificate.signed_bytes()?, signature)
}

/// Verifies the signature of a TLS 1.2 handshake by the key of `certificate`. rustls does the same
/// only for a certificate that webpki can read.
///
/// # Errors
/// If the signature is wrong.
pub(super) fn verify_tls12_signature(
    certificate: &Parsed,
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    signed: &DigitallySignedStruct,
) -> Result<(), Error> {
    let mapped = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
    let candidates = mapped.flat_map(|(_, candidates)| candidates.iter().copied());
    verify_signature(certificate, candidates, message, signed.signature())
}

/// Verifies a signature by the key of `signer` and the one of `candidates` that is for such keys.
fn verify_signature<'a>(
    signer: &Parsed,
    mut candidates: impl Iterator<Item = &'a dyn SignatureVerificationAlgorithm>,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    let key = &signer.fields.tbs_certificate.subject_public_key_info;
    let kind = algorithm(&key.algorithm)?;
    let bytes = key.subject_public_key.as_bytes().unwrap_or_default();
    let is_signed = candidates.any(|candidate| {
        *candidate.public_key_alg_id() == *kind
            && candidate.verify_signature(bytes, message, signature).is_ok()
    });
    if is_signed { Ok(()) } else { Err(CertificateError::BadSignature.into()) }
}
