//! The fields of a certificate that webpki does not show.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode, Header, Reader, SliceReader};
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName,
};

/// `id-kp-serverAuth`: the purpose of a server's certificate.
const SERVER: &str = "1.3.6.1.5.5.7.3.1";

/// A certificate and its fields.
#[derive(Debug, Clone)]
pub(super) struct Parsed {
    /// The whole certificate.
    pub(super) der: CertificateDer<'static>,
    /// Its fields.
    pub(super) fields: Certificate,
}

impl Parsed {
    /// Reads a certificate.
    ///
    /// # Errors
    /// If its encoding is wrong.
    pub(super) fn of(der: &CertificateDer<'_>) -> Result<Self, Error> {
        let fields = Certificate::from_der(der).map_err(|_| CertificateError::BadEncoding)?;
        Ok(Self { der: der.clone().into_owned(), fields })
    }

    /// Whether the certificate has no extensions, as `openssl x509 -req` makes it.
    pub(super) fn is_version_1(&self) -> bool {
        self.fields.tbs_certificate.version == Version::V1
    }

    /// Whether subject and issuer are the same.
    pub(super) fn is_self_issued(&self) -> bool {
        self.fields.tbs_certificate.subject == self.fields.tbs_certificate.issuer
    }

    /// Whether the certificate says of itself that it is an authority's.
    pub(super) fn is_marked_as_authority(&self) -> bool {
        let constraints = self.fields.tbs_certificate.get::<BasicConstraints>();
        matches!(constraints, Ok(Some((_, constraints))) if constraints.ca)
    }

    /// Whether OpenSSL accepts it as the certificate of an authority that the file of the roots
    /// names: it says so, or it is of a form that has no room to say so.
    pub(super) fn may_sign(&self) -> bool {
        let fields = &self.fields.tbs_certificate;
        let usage = fields.get::<KeyUsage>();
        let signs = match &usage {
            Ok(Some((_, usage))) => usage.key_cert_sign(),
            Ok(None) => true,
            Err(_) => false,
        };
        let says = match fields.get::<BasicConstraints>() {
            Ok(Some((_, constraints))) => constraints.ca,
            Ok(None) => self.is_version_1() || matches!(usage, Ok(Some(_))),
            Err(_) => false,
        };
        signs && says
    }

    /// Whether the certificate may be a server's: it names that purpose or none, and its key may
    /// be used in a handshake.
    pub(super) fn may_serve(&self) -> bool {
        let fields = &self.fields.tbs_certificate;
        let has_purpose = match fields.get::<ExtendedKeyUsage>() {
            Ok(Some((_, usages))) => usages.0.iter().any(|usage| usage.to_string() == SERVER),
            Ok(None) => true,
            Err(_) => false,
        };
        let has_usage = match fields.get::<KeyUsage>() {
            Ok(Some((_, usage))) => {
                usage.digital_signature() || usage.key_encipherment() || usage.key_agreement()
            }
            Ok(None) => true,
            Err(_) => false,
        };
        has_purpose && has_usage
    }

    /// Whether the certificate has an extension that must be understood, and is not understood
    /// here.
    pub(super) fn has_unknown_critical(&self) -> bool {
        let known =
            [BasicConstraints::OID, ExtendedKeyUsage::OID, KeyUsage::OID, SubjectAltName::OID];
        let mut extensions = self.fields.tbs_certificate.extensions.iter().flatten();
        extensions.any(|extension| extension.critical && !known.contains(&extension.extn_id))
    }

    /// Whether an authority may sign only for some names.
    pub(super) fn is_limited_to_names(&self) -> bool {
        !matches!(self.fields.tbs_certificate.get::<NameConstraints>(), Ok(None))
    }

    /// Checks that `now` is between the certificate's dates.
    ///
    /// # Errors
    /// If it is not.
    pub(super) fn check_dates(&self, now: UnixTime) -> Result<(), Error> {
        let validity = &self.fields.tbs_certificate.validity;
        let time = |at: Duration| UnixTime::since_unix_epoch(at);
        let not_before = time(validity.not_before.to_unix_duration());
        let not_after = time(validity.not_after.to_unix_duration());
        if now < not_before {
            return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
        }
        if now > not_after {
            return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
        }
        Ok(())
    }

    /// The public key with its algorithm, encoded.
    ///
    /// # Errors
    /// If its encoding is wrong.
    pub(super) fn key(&self) -> Result<Vec<u8>, Error> {
        let key = self.fields.tbs_certificate.subject_public_key_info.to_der();
        Ok(key.map_err(|_| CertificateError::BadEncoding)?)
    }

    /// The bytes that the issuer has signed, as they were received.
    ///
    /// # Errors
    /// If the encoding is wrong.
    pub(super) fn signed_bytes(&self) -> Result<&[u8], Error> {
        let bytes = || {
            let mut reader = SliceReader::new(&self.der)?;
            Header::decode(&mut reader)?;
            reader.tlv_bytes()
        };
        Ok(bytes().map_err(|_| CertificateError::BadEncoding)?)
    }
}

/// The encoding of an algorithm in the form in which rustls compares it: without the header of its
/// sequence.
///
/// # Errors
/// If it cannot be encoded.
pub(super) fn algorithm(algorithm: &impl Encode) -> Result<Vec<u8>, Error> {
    let body = || {
        let whole = algorithm.to_der()?;
        AnyRef::from_der(&whole).map(|any| any.value().to_vec())
    };
    Ok(body().map_err(|_| CertificateError::BadEncoding)?)
}
