//! The relay's connections to the database. Each has a name in `pg_stat_activity`, keepalives and
//! deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Config, NoTls};
use tokio_util::sync::CancellationToken;

use super::errors::{ConnectError, OLDEST_POSTGRES, explain};
use super::session::{IDENTITY, Notified, Session};
use super::settings::{SettleError, settle};
use crate::error::chain;

/// How long one host may take to accept a connection, including the handshake and the first
/// answer. A host that accepts and then does not answer must not keep the relay from trying the
/// others.
const HOST_TIMEOUT: Duration = Duration::from_secs(5);
/// After this time without an answer from one host, the next host is tried beside it.
const HOST_STAGGER: Duration = Duration::from_secs(1);
/// Keepalives detect a peer that has vanished after 10 s + 3 × 5 s. The system's default is two
/// hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// Data that the peer does not acknowledge for this long ends the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Connects to one database, on one host, or on several hosts of which one at a time is the
/// primary. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connector {
    /// One configuration for each host, in the order of the URL.
    hosts: Arc<[HostConfig]>,
    /// The host that is tried first: the latest known primary.
    preferred: Arc<AtomicUsize>,
    /// Connections are made only once this token is cancelled, which is when the migrations have
    /// been applied.
    migrated: Option<CancellationToken>,
    /// All hosts, for the error that none of them lets the relay in.
    servers: String,
    /// The schema of the installation, if the connection string names one.
    schema: Option<Arc<str>>,
}

#[derive(Debug)]
struct HostConfig {
    config: Config,
    /// Host and port, for messages.
    server: String,
}

impl Connector {
    /// Parses a `postgres://` URL or a `key=value` string.
    ///
    /// # Errors
    /// If the URL cannot be used. The error does not repeat it, since it may contain a password.
    pub fn parse(url: &str) -> Result<Self, ConnectError> {
        let config: Config = url.parse().map_err(|error| ConnectError::Url(chain(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(ConnectError::Url("the URL names no host".to_owned()));
        }
        if config.get_ssl_mode() == SslMode::Require {
            return Err(ConnectError::Url(
                "sslmode=require: this release does not speak TLS to PostgreSQL; put a TLS proxy \
                 (stunnel, a service mesh, a cloud vendor's proxy) beside the relay"
                    .to_owned(),
            ));
        }
        if config.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
            return Err(ConnectError::Url(
                "target_session_attrs=read-only: the relay writes, and goes to the primary"
                    .to_owned(),
            ));
        }
        Ok(Self::new(config))
    }

    /// A connector of a configuration that is known to be complete.
    pub fn new(config: Config) -> Self {
        let hosts: Arc<[HostConfig]> =
            (0..host_count(&config)).map(|index| HostConfig::of(&config, index)).collect();
        let servers = server_names(&config);
        Self { hosts, preferred: Arc::default(), migrated: None, servers, schema: None }
    }

    /// The same connector for the installation in this schema of the database.
    pub fn in_schema(self, schema: &str) -> Self {
        Self { schema: Some(schema.into()), ..self }
    }

    /// The schema that the connection string names.
    pub(super) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The same connector for the parts of a relay that is starting: they connect once the
    /// migrations are applied, which cancels `migrated`.
    pub(crate) fn after(&self, migrated: CancellationToken) -> Self {
        Self { migrated: Some(migrated), ..self.clone() }
    }

    /// The number of hosts that the URL names.
    pub(crate) fn host_count(&self) -> usize {
        self.hosts.len()
    }

    /// The configuration of the latest known primary, with a name for `pg_stat_activity`.
    pub(super) fn named(&self, name: &str) -> Config {
        let index = self.preferred.load(Ordering::Relaxed);
        let host = self.hosts.get(index).or(self.hosts.first());
        let mut config = host.map(|host| host.config.clone()).unwrap_or_default();
        config.application_name(application_name(name));
        config
    }

    /// Makes this host the one that is tried first.
    pub(crate) fn prefer(&self, index: usize) {
        self.preferred.store(index, Ordering::Relaxed);
    }

    /// Connects to the primary and ignores notifications. `name` shows in `pg_stat_activity`.
    ///
    /// # Errors
    /// As [`Connector::connect_with`].
    pub async fn connect(&self, name: &str) -> Result<Session, ConnectError> {
        self.connect_with(name, |_| {}).await
    }

    /// Connects to the primary among the hosts. The latest known primary is tried first, each
    /// further host when the one before has failed, or has not answered for [`HOST_STAGGER`].
    /// `notified` is called with every notification's payload, in the task that drives the
    /// connection.
    ///
    /// # Errors
    /// If no host is a primary that lets the relay in. The error names each host and its reason.
    pub async fn connect_with(
        &self,
        name: &str,
        notified: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Session, ConnectError> {
        if let Some(migrated) = &self.migrated {
            migrated.cancelled().await;
        }
        let notified: Notified = Arc::new(notified);
        let first = self.preferred.load(Ordering::Relaxed);
        let mut untried = (0..self.hosts.len()).map(|step| (first + step) % self.hosts.len());
        let mut attempts = FuturesUnordered::new();
        let mut refused = Vec::new();
        loop {
            if let Some(index) = untried.next() {
                let attempt = self.connect_to(index, name, Arc::clone(&notified));
                attempts.push(async move { (index, attempt.await) });
            }
            let next = async {
                if untried.len() == 0 {
                    return attempts.next().await;
                }
                timeout(HOST_STAGGER, attempts.next()).await.ok().flatten()
            };
            match next.await {
                Some((index, Ok(session))) => {
                    self.prefer(index);
                    return Ok(session);
                }
                Some((_, Err(error))) => refused.push(error),
                None => {}
            }
            if attempts.is_empty() && untried.len() == 0 {
                return Err(ConnectError::of_all(refused, &self.servers));
            }
        }
    }

    /// Connects to one host, which must be the primary.
    async fn connect_to(
        &self,
        index: usize,
        name: &str,
        notified: Notified,
    ) -> Result<Session, ConnectError> {
        let host = &self.hosts[index];
        let attempt = async {
            let mut session = self.open(index, name, notified).await?;
            let refused = |error: tokio_postgres::Error| host.refused(&error);
            match settle(&session.client, self.schema()).await {
                Ok(()) => {}
                Err(SettleError::Database(error)) => return Err(refused(error)),
                Err(SettleError::Schema(reason)) => {
                    let server = host.server.clone();
                    return Err(ConnectError::Refused { server, reason, permanent: true });
                }
            }
            let row = session.client.query_one(IDENTITY, &[]).await.map_err(refused)?;
            if row.try_get(1).map_err(refused)? {
                return Err(host.not_now("this server is a standby, or is recovering".to_owned()));
            }
            session.backend_pid = row.try_get(0).map_err(refused)?;
            Ok(session)
        };
        match timeout(HOST_TIMEOUT, attempt).await {
            Ok(connected) => connected,
            Err(_) => Err(host.not_now(format!("no answer within {} s", HOST_TIMEOUT.as_secs()))),
        }
    }

    /// Opens a connection to one host, which may be a primary or a standby.
    pub(super) async fn open(
        &self,
        index: usize,
        name: &str,
        notified: Notified,
    ) -> Result<Session, ConnectError> {
        let host = &self.hosts[index];
        let mut config = host.config.clone();
        config.application_name(application_name(name));
        let (client, connection) =
            config.connect(NoTls).await.map_err(|error| host.refused(&error))?;
        if let Some(found) = connection.parameter("server_version").map(str::to_owned) {
            let major: Option<u32> =
                found.split(['.', ' ', 'b', 'r', 'd']).next().and_then(|n| n.parse().ok());
            if major.is_some_and(|major| major < OLDEST_POSTGRES) {
                return Err(ConnectError::TooOld { server: host.server.clone(), found });
            }
        }
        if let Some(found) =
            connection.parameter("server_encoding").filter(|found| *found != "UTF8")
        {
            return Err(ConnectError::Encoding {
                server: host.server.clone(),
                found: found.to_owned(),
            });
        }
        Ok(Session::drive(client, connection, host.server.clone(), notified))
    }

    /// The name of the host at this position in the URL.
    pub(super) fn host_server(&self, index: usize) -> &str {
        self.hosts.get(index).map_or("", |host| &host.server)
    }
}

impl HostConfig {
    /// The configuration of one host of a URL that may name several.
    fn of(all: &Config, index: usize) -> Self {
        let mut config = Config::new();
        if let Some(user) = all.get_user() {
            config.user(user);
        }
        if let Some(password) = all.get_password() {
            config.password(password);
        }
        if let Some(name) = all.get_dbname() {
            config.dbname(name);
        }
        if let Some(options) = all.get_options() {
            config.options(options);
        }
        let port = all.get_ports().get(index).or(all.get_ports().first()).copied().unwrap_or(5432);
        let mut server = String::new();
        match all.get_hosts().get(index) {
            Some(Host::Tcp(name)) => {
                server.push_str(name);
                config.host(name);
            }
            Some(Host::Unix(path)) => {
                server.push_str(&path.display().to_string());
                config.host_path(path);
            }
            None => {}
        }
        if let Some(address) = all.get_hostaddrs().get(index) {
            if server.is_empty() {
                server.push_str(&address.to_string());
            }
            config.hostaddr(*address);
        }
        config
            .port(port)
            .ssl_mode(all.get_ssl_mode())
            .ssl_negotiation(all.get_ssl_negotiation())
            .channel_binding(all.get_channel_binding())
            .connect_timeout(all.get_connect_timeout().copied().unwrap_or(HOST_TIMEOUT))
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(USER_TIMEOUT);
        let database = all.get_dbname().or(all.get_user()).unwrap_or("postgres");
        let server = format!("{server} port {port}, database {database}");
        Self { config, server }
    }

    /// The error of a host that cannot be connected to now.
    fn not_now(&self, reason: String) -> ConnectError {
        ConnectError::Refused { server: self.server.clone(), reason, permanent: false }
    }

    /// The error of a host that has refused the connection or the first statements.
    fn refused(&self, error: &tokio_postgres::Error) -> ConnectError {
        // Class 28: wrong user or password. 3D000: no such database.
        let permanent = error
            .code()
            .is_some_and(|state| state.code().starts_with("28") || state.code() == "3D000");
        ConnectError::Refused { server: self.server.clone(), reason: explain(error), permanent }
    }
}

fn application_name(name: &str) -> String {
    format!("progress-relay {name}")
}

fn host_count(config: &Config) -> usize {
    config.get_hosts().len().max(config.get_hostaddrs().len())
}

/// The names of all hosts of a configuration.
fn server_names(config: &Config) -> String {
    let names: Vec<String> =
        (0..host_count(config)).map(|index| HostConfig::of(config, index).server).collect();
    names.join(" or ")
}
