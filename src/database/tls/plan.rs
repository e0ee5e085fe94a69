//! The attempts to connect to one host, and the rustls configuration of the encrypted ones.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::{Resumption, VerifierBuilderError};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use tokio_postgres::Error;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connector::TlsConnector;
use super::failure::{TlsFailure, explain, is_of_handshake};
use super::files::{certificates, client, is_missing, revoked, system_certificates};
use super::roots::RootSet;
use super::verifier::Verifier;
use crate::cryptography::crypto_provider;
use crate::database::target::{Place, Roots, TlsMode, TlsSettings};

/// The protocol that a direct handshake names: PostgreSQL refuses a direct one without it.
const PROTOCOL: &[u8] = b"postgresql";

/// How connections are encrypted, by the files as they were when the plan was made.
pub(in crate::database) struct TlsPlan {
    settings: Arc<TlsSettings>,
    /// `None` for `sslmode=disable`.
    tls: Option<MakeRustlsConnect>,
    verification: Verification,
}

/// By whom the server of an encrypted connection was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// Any certificate is accepted; the path is that of the file of authorities that is missing.
    Nothing(Option<PathBuf>),
    /// An authority of this file, or of the system, has signed the certificate.
    Authority(String),
    /// The same, and the certificate is for the host's name.
    AuthorityAndName(String),
}

/// One attempt to connect to a host.
#[derive(Debug, Clone)]
pub(in crate::database) struct Attempt {
    /// For the `Config` of tokio-postgres.
    pub(in crate::database) ssl_mode: SslMode,
    /// For the `Config` of tokio-postgres.
    pub(in crate::database) ssl_negotiation: SslNegotiation,
    /// For `Config::connect`, and for requests to cancel.
    pub(in crate::database) tls: TlsConnector,
    settings: Arc<TlsSettings>,
}

impl TlsPlan {
    /// Makes a plan; reads the files.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub(in crate::database) fn of(settings: &Arc<TlsSettings>) -> Result<Self, String> {
        if settings.mode == TlsMode::Disable {
            return Ok(Self::disabled(settings));
        }
        let (config, verification) = client_config(settings)?;
        let tls = Some(MakeRustlsConnect::new(config));
        Ok(Self { settings: Arc::clone(settings), tls, verification })
    }

    /// A plan without TLS.
    pub(super) fn disabled(settings: &Arc<TlsSettings>) -> Self {
        let verification = Verification::Nothing(None);
        Self { settings: Arc::clone(settings), tls: None, verification }
    }

    /// The attempts to connect to a host, in order. There is at least one.
    ///
    /// # Errors
    /// If the host's name is to be verified, and only its address is known.
    pub(in crate::database) fn attempts(&self, place: &Place) -> Result<Vec<Attempt>, String> {
        let mode = self.settings.mode;
        let name = match place {
            // As in libpq, a Unix socket is never encrypted: nobody can listen in.
            Place::Unix(_) => return Ok(vec![self.attempt(SslMode::Disable)]),
            Place::Tcp { name, .. } => name,
        };
        if mode == TlsMode::VerifyFull && name.is_none() {
            return Err("sslmode=verify-full needs the host's name, by which the certificate is \
                        verified: set host beside hostaddr"
                .to_owned());
        }
        let modes: &[SslMode] = match mode {
            TlsMode::Disable => &[SslMode::Disable],
            TlsMode::Allow => &[SslMode::Disable, SslMode::Require],
            TlsMode::Prefer => &[SslMode::Prefer, SslMode::Disable],
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => &[SslMode::Require],
        };
        Ok(modes.iter().map(|mode| self.attempt(*mode)).collect())
    }

    fn attempt(&self, ssl_mode: SslMode) -> Attempt {
        let ssl_negotiation = match self.settings.direct {
            true => SslNegotiation::Direct,
            false => SslNegotiation::Postgres,
        };
        let tls = TlsConnector::new(self.tls.clone());
        Attempt { ssl_mode, ssl_negotiation, tls, settings: Arc::clone(&self.settings) }
    }

    /// By whom a server is verified.
    pub(in crate::database) fn verification(&self) -> &Verification {
        &self.verification
    }
}

impl Attempt {
    /// Whether libpq would make the next attempt after this error.
    pub(in crate::database) fn leads_to_next(&self, error: &Error) -> bool {
        match self.ssl_mode {
            // `prefer`: a handshake that failed, or a server that refuses this encrypted
            // connection.
            SslMode::Prefer => {
                is_of_handshake(error, &self.tls)
                    || (self.tls.is_encrypted()
                        && error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION))
            }
            // `allow`: the server refuses a connection that is not encrypted.
            SslMode::Disable => error.code().is_some(),
            _ => false,
        }
    }

    /// Explains an error of this attempt, if it is one of encryption.
    pub(in crate::database) fn explain(&self, error: &Error, host: &str) -> Option<TlsFailure> {
        explain(error, host, &self.settings, &self.tls)
    }
}

/// The rustls configuration, and by whom it verifies a server.
///
/// # Errors
/// If a file cannot be used, or the mode needs one that is not there.
pub(super) fn client_config(
    settings: &TlsSettings,
) -> Result<(ClientConfig, Verification), String> {
    let (verifier, verification) = verifier(settings)?;
    Ok((configuration(settings, verifier)?, verification))
}

/// The verifier of the server's certificate, and what it verifies.
fn verifier(settings: &TlsSettings) -> Result<(Verifier, Verification), String> {
    let mode = settings.mode;
    let is_verified = mode >= TlsMode::VerifyCa;
    let authorities = match &settings.roots {
        Roots::None if is_verified => {
            return Err(format!(
                "sslmode={mode} needs the certificate of the authority that signs the server's: \
                 set sslrootcert to its file, or to system"
            ));
        }
        Roots::None => return Ok((Verifier::of_nothing(), Verification::Nothing(None))),
        Roots::File(file) if is_missing(file) => {
            if is_verified {
                return Err(format!(
                    "sslrootcert: {} does not exist, and sslmode={mode} needs it: put the \
                     authority's certificate there, or set sslrootcert=system",
                    file.display()
                ));
            }
            return Ok((Verifier::of_nothing(), Verification::Nothing(Some(file.clone()))));
        }
        Roots::File(file) => certificates(file, "sslrootcert")?,
        Roots::System => system_certificates()?,
    };
    let revoked = settings.revoked.as_deref().map(revoked).transpose()?.unwrap_or_default();
    let checks_name = mode == TlsMode::VerifyFull;
    let verifier = Verifier::of_chain(RootSet::of(authorities), revoked, checks_name);
    let verifier = verifier.map_err(|error| match error {
        VerifierBuilderError::InvalidCrl(reason) => {
            format!("sslcrl: the list of revoked certificates cannot be used: {reason:?}")
        }
        other => format!("sslrootcert: {other}"),
    })?;
    let roots = settings.roots.to_string();
    let verification = match checks_name {
        true => Verification::AuthorityAndName(roots),
        false => Verification::Authority(roots),
    };
    Ok((verifier, verification))
}

/// The rustls configuration.
fn configuration(settings: &TlsSettings, verifier: Verifier) -> Result<ClientConfig, String> {
    let versions: &[_] = match (settings.only_tls12, settings.only_tls13) {
        (true, _) => &[&TLS12],
        (_, true) => &[&TLS13],
        _ => &[&TLS13, &TLS12],
    };
    let builder = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.client {
        // As in libpq, the relay does without a certificate that is not there.
        Some((certificate, key)) if !is_missing(certificate) => {
            let own = SingleCertAndKey::from(client(certificate, key)?);
            builder.with_client_cert_resolver(Arc::new(own))
        }
        _ => builder.with_no_client_auth(),
    };
    config.enable_sni = settings.send_name;
    // PostgreSQL resumes no session. Each connection verifies the certificate.
    config.resumption = Resumption::disabled();
    if settings.direct {
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
    }
    Ok(config)
}

impl fmt::Debug for TlsPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TlsPlan")
            .field("settings", &self.settings)
            .field("verification", &self.verification)
            .finish_non_exhaustive()
    }
}
