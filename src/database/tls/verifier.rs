//! Verifies the certificate of a server as libpq does.
//!
//! The chain is webpki's work. Four things differ between webpki and OpenSSL, and are done here as
//! OpenSSL does them: certificates of some forms (`direct`), the dates of a root and the use of the
//! server's key, which webpki does not look at, and the names (`name`), since webpki ignores the
//! common name.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use super::certificate::Parsed;
use super::direct::{is_refused_by_form, verify_direct, verify_tls12_signature};
use super::name::verify_name;
use super::roots::RootSet;
use crate::cryptography::crypto_provider;

/// The reasons for a refusal that rustls has no error for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The root that has signed the certificate is out of date.
    #[error("the authority that has signed it has expired")]
    RootNotCurrent,
    /// The certificate was verified without webpki, which alone reads lists of revoked
    /// certificates.
    #[error(
        "a list of revoked certificates (sslcrl) cannot be applied to a certificate of its form"
    )]
    NotComparedWithList,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        CertificateError::Other(OtherError(Arc::new(refusal))).into()
    }
}

/// Verifies the certificate of a server.
pub(super) struct Verifier {
    /// The authorities; `None` if any certificate is accepted.
    chain: Option<Chain>,
    /// Whether the certificate must be for the host.
    checks_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The authorities, and the certificates that they have revoked.
struct Chain {
    set: RootSet,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    /// `None` if no root may sign.
    webpki: Option<Arc<WebPkiServerVerifier>>,
}

impl Verifier {
    /// A verifier that accepts any certificate, but not any handshake: the server must have the key
    /// of its certificate.
    pub(super) fn of_nothing() -> Self {
        let algorithms = crypto_provider().signature_verification_algorithms;
        Self { chain: None, checks_name: false, algorithms }
    }

    /// A verifier of the chain, and of the name if `checks_name`.
    ///
    /// # Errors
    /// If a list of revoked certificates cannot be read.
    pub(super) fn of_chain(
        set: RootSet,
        revoked: Vec<CertificateRevocationListDer<'static>>,
        checks_name: bool,
    ) -> Result<Self, rustls::client::VerifierBuilderError> {
        let webpki = webpki_verifier(&set, &revoked, None)?;
        let chain = Some(Chain { set, revoked, webpki });
        Ok(Self { chain, checks_name, ..Self::of_nothing() })
    }
}

/// The verifier of rustls; `None` if no root may sign.
fn webpki_verifier(
    set: &RootSet,
    revoked: &[CertificateRevocationListDer<'static>],
    now: Option<UnixTime>,
) -> Result<Option<Arc<WebPkiServerVerifier>>, rustls::client::VerifierBuilderError> {
    let anchors = set.anchors(now);
    if anchors.is_empty() {
        return Ok(None);
    }
    // OpenSSL refuses a list whose next issue is overdue, and a certificate that no list covers.
    WebPkiServerVerifier::builder_with_provider(Arc::new(anchors), crypto_provider())
        .with_crls(revoked.iter().cloned())
        .enforce_revocation_expiration()
        .build()
        .map(Some)
}

impl Chain {
    /// Verifies that an authority has signed `certificate`.
    fn verify(
        &self,
        certificate: &Parsed,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        algorithms: &WebPkiSupportedAlgorithms,
        now: UnixTime,
    ) -> Result<(), Error> {
        if !certificate.may_serve() {
            return Err(CertificateError::InvalidPurpose.into());
        }
        let is_root = self.set.roots.iter().any(|root| root.der == certificate.der);
        if is_root || is_refused_by_form(certificate) {
            verify_direct(certificate, &self.set.roots, algorithms, now)?;
            if !self.revoked.is_empty() {
                return Err(Refusal::NotComparedWithList.into());
            }
            return Ok(());
        }
        let known = self.set.intermediates.iter().cloned();
        let intermediates: Vec<_> = intermediates.iter().cloned().chain(known).collect();
        let verify = |webpki: &Option<Arc<WebPkiServerVerifier>>| match webpki {
            None => Err(CertificateError::UnknownIssuer.into()),
            Some(webpki) => chain_only(webpki.verify_server_cert(
                &certificate.der,
                &intermediates,
                host,
                &[],
                now,
            )),
        };
        verify(&self.webpki)?;
        if self.set.are_all_current(now) {
            return Ok(());
        }
        // webpki has not looked at the dates of the root that it found.
        let current = webpki_verifier(&self.set, &self.revoked, Some(now));
        let current = current.map_err(|_| Refusal::RootNotCurrent)?;
        verify(&current).map_err(|_| Refusal::RootNotCurrent.into())
    }
}

/// The result of the chain alone. webpki looks at the name last, by other rules than libpq's: an
/// error about the name means that the chain is right.
fn chain_only(verified: Result<ServerCertVerified, Error>) -> Result<(), Error> {
    match verified {
        Ok(_)
        | Err(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Ok(()),
        Err(error) => Err(error),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(chain) = &self.chain {
            let certificate = Parsed::of(end_entity)?;
            chain.verify(&certificate, intermediates, server_name, &self.algorithms, now)?;
            if self.checks_name {
                verify_name(&certificate, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(&Parsed::of(cert)?, &self.algorithms, message, dss)?;
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // By the key rather than the certificate, which webpki may not be able to read.
        let key = SubjectPublicKeyInfoDer::from(Parsed::of(cert)?.key()?);
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verifier")
            .field("verifies_chain", &self.chain.is_some())
            .field("checks_name", &self.checks_name)
            .finish()
    }
}
