//! Explains the errors of TLS to an operator. They are told apart by their types.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};
use time::OffsetDateTime;
use time::macros::format_description;

use super::connector::{Progress, TlsConnector};
use super::verifier::Refusal;
use crate::database::target::{TlsMode, TlsSettings};

/// Why a connection could not be encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::database) struct TlsFailure {
    /// The reason, and what to do.
    pub(in crate::database) reason: String,
    /// Whether another attempt fails as well, until an operator has acted.
    pub(in crate::database) is_permanent: bool,
}

/// The error of rustls below an error of tokio-postgres.
fn rustls_error(error: &tokio_postgres::Error) -> Option<&Error> {
    io_error(error)?.get_ref()?.downcast_ref()
}

/// The system's error below an error of tokio-postgres.
fn io_error(error: &tokio_postgres::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

/// Whether an error is that of a handshake, after the server had agreed to TLS.
pub(super) fn is_of_handshake(error: &tokio_postgres::Error, tls: &TlsConnector) -> bool {
    tls.progress() == Progress::Handshake || rustls_error(error).is_some()
}

/// Explains an error of an attempt, if it is one of encryption.
pub(super) fn explain(
    error: &tokio_postgres::Error,
    host: &str,
    settings: &TlsSettings,
    tls: &TlsConnector,
) -> Option<TlsFailure> {
    let permanent = |reason| Some(TlsFailure { reason, is_permanent: true });
    if let Some(error) = rustls_error(error) {
        return permanent(of_rustls(error, host, settings));
    }
    let io = io_error(error);
    match tls.progress() {
        Progress::Reached if settings.mode >= TlsMode::Require && error.code().is_none() => {
            // The server was asked, and has answered: only its answer can be wrong.
            let answered = io.is_none() && !error.is_closed();
            answered.then(|| TlsFailure {
                reason: format!(
                    "{host} does not speak TLS, and sslmode={} demands it: set ssl = on in the \
                     server's postgresql.conf, or sslmode=prefer here",
                    settings.mode
                ),
                is_permanent: true,
            })
        }
        Progress::Handshake if io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidInput) => {
            permanent(format!(
                "{host} cannot be the name of a host in TLS: give the host another name, or its \
                 address"
            ))
        }
        Progress::Handshake => {
            let hint = if settings.direct {
                ": servers older than PostgreSQL 17 need sslnegotiation=postgres"
            } else {
                ""
            };
            Some(TlsFailure {
                reason: format!("{host} ended the connection during the TLS handshake{hint}"),
                is_permanent: false,
            })
        }
        _ => None,
    }
}

/// Explains an error of rustls.
fn of_rustls(error: &Error, host: &str, settings: &TlsSettings) -> String {
    match error {
        Error::InvalidCertificate(reason) => of_certificate(reason, host, settings),
        Error::AlertReceived(alert) => of_alert(*alert, host, settings),
        Error::PeerIncompatible(reason) => format!(
            "{host} and the relay have no version of TLS, or no cipher, in common ({reason:?}): \
             the relay speaks TLS 1.2 and 1.3, within ssl_min_protocol_version and \
             ssl_max_protocol_version"
        ),
        Error::InvalidMessage(_) => format!(
            "{host} does not answer in TLS: the port must be PostgreSQL's, and \
             sslnegotiation=direct needs PostgreSQL 17"
        ),
        Error::InvalidCertRevocationList(reason) => format!(
            "the list of revoked certificates (sslcrl) cannot be used for {host}: {reason:?}"
        ),
        other => format!("the TLS handshake with {host} failed: {other}"),
    }
}

/// Explains why the server's certificate is refused.
fn of_certificate(error: &CertificateError, host: &str, settings: &TlsSettings) -> String {
    use CertificateError as E;
    let roots = &settings.roots;
    match error {
        E::NotValidForNameContext { presented, .. } if presented.is_empty() => format!(
            "the certificate of {host} names no host: the server needs one with \
             subjectAltName=DNS:{host}"
        ),
        E::NotValidForNameContext { presented, .. } => format!(
            "the certificate of {host} is for {}: connect by that name (with hostaddr, if the \
             name leads elsewhere), or give the server a certificate for {host}",
            listed(presented)
        ),
        E::UnknownIssuer | E::BadSignature => format!(
            "the certificate of {host} is not signed by an authority of {roots}: set sslrootcert \
                 to \
             the file with the certificate of the server's authority"
        ),
        E::ExpiredContext { not_after, .. } => format!(
            "the certificate of {host} expired on {}: renew it on the server",
            day(*not_after)
        ),
        E::NotValidYetContext { not_before, .. } => format!(
            "the certificate of {host} is not valid before {}: compare the clocks of both machines",
            day(*not_before)
        ),
        E::Revoked => format!("the certificate of {host} is revoked: give the server another one"),
        E::UnknownRevocationStatus => format!(
            "no list of revoked certificates (sslcrl) is from the authority of {host}'s \
             certificate: its file needs the list of each authority of the chain"
        ),
        E::ExpiredRevocationListContext { next_update, .. } => format!(
            "the list of revoked certificates (sslcrl) is out of date since {}: fetch the \
             authority's new one",
            day(*next_update)
        ),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => format!(
            "the certificate of {host} is not one for servers: its extendedKeyUsage needs \
             serverAuth, and its keyUsage digitalSignature"
        ),
        E::Other(other) => match other.0.downcast_ref::<Refusal>() {
            Some(reason) => format!("the certificate of {host} is refused: {reason}"),
            None => format!("the certificate of {host} is refused: {other}"),
        },
        other => format!("the certificate of {host} is refused: {other}"),
    }
}

/// Explains why the server has ended the handshake.
fn of_alert(alert: AlertDescription, host: &str, settings: &TlsSettings) -> String {
    use AlertDescription as A;
    match (alert, &settings.client) {
        (A::CertificateRequired | A::HandshakeFailure, None) => format!(
            "{host} wants a client certificate, or has nothing in common with the relay \
             ({alert:?}): set sslcert and sslkey"
        ),
        (
            A::UnknownCA
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::CertificateRequired
            | A::DecryptError
            | A::AccessDenied,
            Some((certificate, _)),
        ) => {
            let reason = match alert {
                A::UnknownCA => "its authority is not in the server's ssl_ca_file",
                A::CertificateExpired => "it has expired",
                A::CertificateRevoked => "it is revoked",
                _ => "the server's log has the reason",
            };
            format!(
                "{host} refuses the client certificate {}: {reason} ({alert:?})",
                certificate.display()
            )
        }
        (A::ProtocolVersion, _) => format!(
            "{host} and the relay have no version of TLS in common: the relay speaks TLS 1.2 and \
             1.3, within ssl_min_protocol_version and ssl_max_protocol_version"
        ),
        (A::NoApplicationProtocol, _) => format!(
            "{host} does not know PostgreSQL's protocol in TLS: leave out sslnegotiation=direct"
        ),
        _ => format!("{host} has ended the TLS handshake ({alert:?}): its log has the reason"),
    }
}

/// The first names of a certificate.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}

/// A moment, for people.
fn day(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| format!("{seconds} s after 1970"))
}
