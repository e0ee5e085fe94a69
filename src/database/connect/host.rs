//! One host of a connection string: its addresses, and a connection to one of them.
//!
//! A host's name may stand for several addresses. The system's resolver is asked here and not by
//! the driver, so that each address has its own time and an unknown name is told apart from a
//! resolver that does not answer. A connection is opened by the attempts of the TLS plan, as libpq
//! does it: `prefer` goes on without TLS if the server cannot, `allow` only takes TLS if the server
//! demands it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Connection, Error, Socket};

use super::refusal::{self, Refusal};
use crate::database::target::{Place, Target};
use crate::database::tls::{TlsConnector, TlsFiles, TlsStream};

/// How long one address may take to accept a connection, including the handshakes and the first
/// answers. An address that accepts and then does not answer must not keep the relay from trying
/// the others.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest such time that `connect_timeout` can give. Where a name moves to another server in a
/// failover, it is looked up again only once the old address has had its time.
const LONGEST_ADDRESS_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the system's resolver may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// The addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// Keepalives detect a peer that has vanished after 10 s + 3 × 5 s. The system's default is two
/// hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// Data that the peer does not acknowledge for this long ends the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    /// Everything but the address and the session's name.
    config: Config,
    place: Place,
    /// The name that the certificate must have; a host without a name has its address.
    name: String,
    port: u16,
    tls: Arc<TlsFiles>,
    /// Host, port and database, for messages.
    pub(super) server: String,
    /// How long each address may take.
    pub(super) address_timeout: Duration,
    /// Whether it was seen that the URL leads to this host directly, or by a pooler that keeps a
    /// session on one connection.
    pub(super) is_direct: AtomicBool,
    /// Whether it was said that the password travels in clear.
    warned: AtomicBool,
    /// Held while the resolver works: a resolver that hangs keeps one thread, not one a second.
    resolving: Arc<Mutex<()>>,
}

/// An open connection, which nothing drives yet.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) connection: Connection<Socket, TlsStream>,
    /// Encrypts the requests to cancel its statements, as it is encrypted itself.
    pub(super) tls: TlsConnector,
}

impl Host {
    /// The host at a position of the target.
    pub(super) fn of(target: &Target, index: usize, tls: Arc<TlsFiles>) -> Self {
        let host = &target.hosts[index];
        let mut config = Config::new();
        config.user(&target.user).dbname(&target.database);
        if let Some(password) = &host.password {
            config.password(password);
        }
        if let Some(options) = &target.options {
            config.options(options);
        }
        let address_timeout =
            target.connect_timeout.unwrap_or(ADDRESS_TIMEOUT).min(LONGEST_ADDRESS_TIMEOUT);
        config
            .port(host.port)
            .channel_binding(target.channel_binding)
            .connect_timeout(address_timeout)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(USER_TIMEOUT);
        let name = match &host.place {
            Place::Tcp { name: Some(name), .. } => name.clone(),
            Place::Tcp { address: Some(address), .. } => address.to_string(),
            Place::Tcp { name: None, address: None } => String::new(),
            Place::Unix(folder) => folder.display().to_string(),
        };
        let server = format!("{name} port {}, database {}", host.port, target.database);
        Self {
            config,
            place: host.place.clone(),
            name,
            port: host.port,
            tls,
            server,
            address_timeout,
            is_direct: AtomicBool::new(false),
            warned: AtomicBool::new(false),
            resolving: Arc::default(),
        }
    }

    /// The addresses of the host; one `None` for a Unix socket.
    pub(super) async fn addresses(&self) -> Result<Vec<Option<IpAddr>>, Refusal> {
        match &self.place {
            Place::Unix(_) => return Ok(vec![None]),
            Place::Tcp { address: Some(address), .. } => return Ok(vec![Some(*address)]),
            Place::Tcp { .. } => {}
        }
        let name = self.name.clone();
        if let Ok(address) = name.parse() {
            return Ok(vec![Some(address)]);
        }
        let found = async {
            let resolving = Arc::clone(&self.resolving).lock_owned().await;
            let lookup = tokio::task::spawn_blocking(move || {
                let _resolving = resolving;
                look_up(&name)
            });
            lookup.await.unwrap_or_else(|error| Err(Refusal::passing(error.to_string())))
        };
        match timeout(LOOKUP_TIMEOUT, found).await {
            Ok(found) => found,
            Err(_) => Err(Refusal::passing(format!(
                "the name service does not answer within {} s",
                LOOKUP_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Opens a connection to one address, by one attempt of the plan after the other. The caller
    /// limits the time. `name` shows in `pg_stat_activity`.
    pub(super) async fn dial(
        &self,
        address: Option<IpAddr>,
        name: &str,
    ) -> Result<Opened, Refusal> {
        let mut config = self.config.clone();
        config.application_name(name);
        match (&self.place, address) {
            (Place::Unix(folder), _) => drop(config.host_path(folder)),
            (Place::Tcp { .. }, Some(address)) => drop(config.host(&self.name).hostaddr(address)),
            (Place::Tcp { .. }, None) => {}
        }
        let is_local = address.is_none_or(|address| address.is_loopback());
        // A file that was right at the start is wrong while it is being renewed.
        let plan = self.tls.plan().map_err(Refusal::passing)?;
        let mut failed: Option<Refusal> = None;
        for attempt in plan.attempts(&self.place).map_err(Refusal::lasting)? {
            config.ssl_mode(attempt.ssl_mode).ssl_negotiation(attempt.ssl_negotiation);
            let error = match config.connect(attempt.tls.clone()).await {
                Ok((client, connection)) => {
                    if !attempt.tls.is_encrypted() && !is_local {
                        self.warn_of_clear_text();
                    }
                    return Ok(Opened { client, connection, tls: attempt.tls });
                }
                Err(error) => error,
            };
            let refusal = match attempt.explain(&error, &self.name) {
                Some(failure) => {
                    Refusal { permanent: failure.is_permanent, ..Refusal::passing(failure.reason) }
                }
                None => self.refusal(&error),
            };
            let is_last = !attempt.leads_to_next(&error);
            failed = Some(match failed {
                Some(before) => refusal.after(&before, attempt.ssl_mode),
                None => refusal,
            });
            if is_last {
                break;
            }
        }
        Err(failed.unwrap_or_else(|| Refusal::lasting("there is no way to connect")))
    }

    /// The words of what listens at one of the addresses, if it is not PostgreSQL.
    pub(super) async fn foreign_answer(&self, addresses: &[Option<IpAddr>]) -> Option<String> {
        for address in addresses.iter().flatten() {
            if let Some(words) = refusal::foreign_answer(*address, self.port).await {
                return Some(words);
            }
        }
        None
    }

    /// The refusal by an error of the driver.
    pub(super) fn refusal(&self, error: &Error) -> Refusal {
        Refusal::of(error, self.has_password(), self.config.get_channel_binding())
    }

    /// Whether a password is given for it.
    pub(super) fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    fn warn_of_clear_text(&self) {
        if self.has_password() && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the connection to {} is not encrypted: the password and the students' data travel \
                 in clear. Use sslmode=require, or verify-full with sslrootcert",
                self.server
            );
        }
    }
}

fn unknown(name: &str) -> Refusal {
    Refusal::lasting(format!("the host name {name:?} is unknown"))
}

fn look_up(name: &str) -> Result<Vec<Option<IpAddr>>, Refusal> {
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let found = getaddrinfo(Some(name), None, Some(hints)).map_err(|error| match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData => unknown(name),
        _ => Refusal::passing(io::Error::from(error).to_string()),
    })?;
    let mut addresses = Vec::new();
    for info in found.flatten().take(MAX_ADDRESSES) {
        let address = Some(info.sockaddr.ip());
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(unknown(name)) } else { Ok(addresses) }
}
