//! What a connection string says, once the environment and the password file have filled in what
//! it leaves out: the servers to try, how to log in, and how to encrypt.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host};

/// PostgreSQL's port.
pub(super) const DEFAULT_PORT: u16 = 5432;

/// A database, on one host, or on several hosts of which one at a time is the primary.
#[derive(Debug, Clone)]
pub struct Target {
    /// The hosts, in the order of the connection string. There is at least one.
    pub(super) hosts: Vec<TargetHost>,
    /// The role to log in as.
    pub(super) user: String,
    /// The database's name.
    pub(super) database: String,
    /// `options`: settings for the server, as `-c NAME=VALUE`.
    pub(super) options: Option<String>,
    /// The schema of the installation, if the string names one (`?schema=`).
    pub(super) schema: Option<String>,
    /// How long one address may take to connect, if the string limits it (`connect_timeout`).
    pub(super) connect_timeout: Option<Duration>,
    /// How the connections are encrypted.
    pub(super) tls: TlsSettings,
    /// Whether a password exchange must be bound to the TLS connection.
    pub(super) channel_binding: ChannelBinding,
    /// Whether the string says that it leads through a pooler (`pgbouncer=true`).
    pub(super) is_pooled: bool,
    /// What the operator should know, although the string can be used.
    pub(super) warnings: Vec<String>,
}

impl Target {
    /// Whether the string says that it leads through a pooler.
    pub fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// The schema of the installation, if the string names one.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// What the operator should know, although the string can be used.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Target {
    /// The target of a configuration that is complete, without TLS: a private PostgreSQL's.
    pub(super) fn of(config: &Config) -> Self {
        let ports = config.get_ports();
        let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| TargetHost {
            place: match host {
                Host::Tcp(name) => Place::Tcp { name: Some(name.clone()), address: None },
                Host::Unix(folder) => Place::Unix(folder.clone()),
            },
            port: ports.get(index).or(ports.first()).copied().unwrap_or(DEFAULT_PORT),
            password: config.get_password().map(<[u8]>::to_vec),
        });
        let user = config.get_user().unwrap_or_default();
        Self {
            hosts: hosts.collect(),
            user: user.to_owned(),
            database: config.get_dbname().unwrap_or(user).to_owned(),
            options: config.get_options().map(str::to_owned),
            schema: None,
            connect_timeout: None,
            tls: TlsSettings::DISABLED,
            channel_binding: ChannelBinding::Prefer,
            is_pooled: false,
            warnings: Vec::new(),
        }
    }
}

/// One host of a [`Target`].
#[derive(Clone)]
pub(super) struct TargetHost {
    /// The host's name, its address, or the folder of a Unix socket.
    pub(super) place: Place,
    /// The port.
    pub(super) port: u16,
    /// The password for this host: the string's, the environment's, or the password file's.
    pub(super) password: Option<Vec<u8>>,
}

/// The password is not shown: a target may be logged.
impl std::fmt::Debug for TargetHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TargetHost")
            .field("place", &self.place)
            .field("port", &self.port)
            .field("has_password", &self.password.is_some())
            .finish()
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A host's name, or its address as text. With an address (`hostaddr`), the name is not looked
    /// up; it is the name that the certificate must have.
    Tcp {
        /// The name.
        name: Option<String>,
        /// The address.
        address: Option<IpAddr>,
    },
    /// The folder of a Unix socket.
    Unix(PathBuf),
}

/// How connections are encrypted, in the terms of libpq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TlsSettings {
    /// `sslmode`.
    pub(super) mode: TlsMode,
    /// `sslrootcert`.
    pub(super) roots: Roots,
    /// `sslcert` and `sslkey`: the certificate by which the relay is known to the server, and its
    /// key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
    /// `sslcrl`: certificates that are revoked.
    pub(super) revoked: Option<PathBuf>,
    /// `ssl_min_protocol_version` is TLSv1.3; otherwise it is TLSv1.2.
    pub(super) only_tls13: bool,
    /// `ssl_max_protocol_version` is TLSv1.2.
    pub(super) only_tls12: bool,
    /// `sslsni`: whether the host's name is sent in clear at the begin of the handshake.
    pub(super) send_name: bool,
    /// `sslnegotiation=direct`: TLS begins without PostgreSQL's request for it.
    pub(super) direct: bool,
}

impl TlsSettings {
    /// No connection is encrypted.
    pub(super) const DISABLED: Self = Self {
        mode: TlsMode::Disable,
        roots: Roots::None,
        client: None,
        revoked: None,
        only_tls13: false,
        only_tls12: false,
        send_name: true,
        direct: false,
    };
}

/// `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server refuses another connection.
    Allow,
    /// Encrypted if the server can.
    Prefer,
    /// Encrypted; the server's certificate is verified if there are roots.
    Require,
    /// Encrypted by a certificate of a known authority.
    VerifyCa,
    /// Encrypted by a certificate of a known authority for this host.
    VerifyFull,
}

/// `sslrootcert`: the authorities that may have signed the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    /// None is known. Neither the string nor libpq's folder names any.
    None,
    /// Those of a file.
    File(PathBuf),
    /// Those that the system trusts.
    System,
}

impl fmt::Display for TlsMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

impl fmt::Display for Roots {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("nobody"),
            Self::File(file) => write!(formatter, "{}", file.display()),
            Self::System => formatter.write_str("the system"),
        }
    }
}
