//! The relay's connections to the database. Each has a name in `pg_stat_activity`, keepalives and
//! deadlines.
//!
//! - `host`: one host of the connection string: its addresses, and a connection to one of them
//! - `refusal`: why a host was not connected to, and whether that may pass
//! - `race`: the first of several that lets the relay in
//! - `pooler`: whether a connection keeps its server process

mod host;
mod pooler;
mod race;
mod refusal;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures::FutureExt;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::errors::{ConnectError, OLDEST_POSTGRES};
use super::room::Room;
use super::session::{Cancelling, Notified, Session};
use super::settings::{SettleError, settle};
use super::target::Target;
use super::tls::{TlsFiles, Verification};
use super::url::Environment;
use host::{Host, Opened};
pub(super) use pooler::{Sharing, sharing};
use race::first_success;
use refusal::Refusal;

/// Connects to one database, on one host, or on several hosts of which one at a time is the
/// primary. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connector {
    /// The hosts, in the order of the URL.
    hosts: Arc<[Host]>,
    /// The host that is tried first: the latest known primary.
    preferred: Arc<AtomicUsize>,
    /// Connections are made only once this token is cancelled, which is when the migrations have
    /// been applied.
    migrated: Option<CancellationToken>,
    /// All hosts, for the error that none of them lets the relay in.
    servers: Arc<str>,
    tls: Arc<TlsFiles>,
    room: Room,
    /// The schema of the installation, if the connection string names one.
    schema: Option<Arc<str>>,
}

impl Connector {
    /// Parses a `postgres://` URL or a `key=value` string. The PG* variables and the password file
    /// fill in what it leaves out.
    ///
    /// # Errors
    /// If the URL cannot be used. The error does not repeat it, since it may contain a password.
    pub fn parse(url: &str) -> Result<Self, ConnectError> {
        let target = Target::parse(url, &Environment::of_process())
            .map_err(|error| ConnectError::Url(error.to_string()))?;
        Self::to(&target)
    }

    /// A connector to a server of which the configuration is complete, without TLS.
    pub fn new(config: &Config) -> Self {
        Self::build(&Target::of(config), TlsFiles::disabled())
    }

    /// A connector to what a connection string says.
    ///
    /// # Errors
    /// If a file of certificates cannot be used.
    pub fn to(target: &Target) -> Result<Self, ConnectError> {
        let tls = TlsFiles::read(target.tls.clone()).map_err(ConnectError::Url)?;
        Ok(Self::build(target, tls))
    }

    fn build(target: &Target, tls: TlsFiles) -> Self {
        let tls = Arc::new(tls);
        let hosts: Arc<[Host]> = (0..target.hosts.len())
            .map(|index| Host::of(target, index, Arc::clone(&tls)))
            .collect();
        let servers: Vec<&str> = hosts.iter().map(|host| &*host.server).collect();
        let servers = servers.join(" or ").into();
        Self {
            hosts,
            preferred: Arc::default(),
            migrated: None,
            servers,
            tls,
            room: Room::default(),
            schema: target.schema.as_deref().map(Into::into),
        }
    }

    /// The same connector for the parts of a relay that is starting: they connect once the
    /// migrations are applied, which cancels `migrated`.
    pub(crate) fn after(&self, migrated: CancellationToken) -> Self {
        Self { migrated: Some(migrated), ..self.clone() }
    }

    /// By whom the server of an encrypted connection is verified.
    ///
    /// # Errors
    /// If a file of certificates cannot be used now.
    pub fn verification(&self) -> Result<Verification, ConnectError> {
        let plan = self.tls.plan().map_err(ConnectError::Url)?;
        Ok(plan.verification().clone())
    }

    /// The number of hosts that the URL names.
    pub(crate) fn host_count(&self) -> usize {
        self.hosts.len()
    }

    /// The name of the host at this position in the URL.
    pub(super) fn host_server(&self, index: usize) -> &str {
        self.hosts.get(index).map_or("", |host| &host.server)
    }

    /// The schema that the connection string names.
    pub(super) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Whether a password is given for the host at this position.
    pub(super) fn has_password(&self, index: usize) -> bool {
        self.hosts.get(index).is_some_and(Host::has_password)
    }

    /// The server's room for connections, as this replica has met it.
    pub(super) fn room(&self) -> &Room {
        &self.room
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

    /// Connects to the primary among the hosts. The latest known primary is tried first.
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
        self.with_room(self.to_primary(name, Arc::new(notified)).await)
    }

    /// Connects to the primary for a reader of history, which gives way to every other session
    /// where the server has no room.
    pub(super) async fn connect_reader(&self, name: &str) -> Result<Session, ConnectError> {
        if self.room.is_short() {
            return Err(ConnectError::Refused {
                server: self.servers.to_string(),
                reason: "the room for connections is left to writing and listening".to_owned(),
                permanent: false,
                code: Some(SqlState::TOO_MANY_CONNECTIONS),
            });
        }
        self.to_primary(name, Arc::new(|_: &str| {})).await
    }

    async fn to_primary(&self, name: &str, notified: Notified) -> Result<Session, ConnectError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let indexes = (0..self.hosts.len()).map(|step| (first + step) % self.hosts.len());
        let ask = |index| {
            let notified = Arc::clone(&notified);
            async move { Ok((index, self.connect_to(index, name, notified).await?)) }.boxed()
        };
        match first_success(indexes, ask).await {
            Ok((index, session)) => {
                self.prefer(index);
                Ok(session)
            }
            Err(refused) => Err(ConnectError::of_all(refused, &self.servers)),
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
        let addresses = host.named_addresses().await?;
        let attempt = |address| self.connect_at(host, address, name, Arc::clone(&notified));
        let refused = match host.first_of(&addresses, attempt).await {
            Ok(session) => return Ok(session),
            Err(refused) => refused,
        };
        // Nothing that is not PostgreSQL has ever let the relay in.
        if !refused.is_permanent()
            && !host.is_direct.load(Ordering::Relaxed)
            && let Some(words) = host.foreign_answer(&addresses).await
        {
            return Err(host.error(Refusal::lasting(format!(
                "what listens there is not PostgreSQL: it answers \"{words}\""
            ))));
        }
        Err(refused)
    }

    /// Connects to one address, which must be the primary's.
    async fn connect_at(
        &self,
        host: &Host,
        address: Option<IpAddr>,
        name: &str,
        notified: Notified,
    ) -> Result<Session, ConnectError> {
        let began = Instant::now();
        let session = self.drive(host, address, name, notified).await?;
        // Less than what is left of the address's time, after which nobody would say that the
        // server has let the relay in.
        let left = host.address_timeout.saturating_sub(began.elapsed()).mul_f32(0.9);
        let ready = timeout(left, self.make_ready(host, address, session)).await;
        ready.unwrap_or_else(|_| Err(host.error(Refusal::unanswered())))
    }

    /// Makes sure that a new session leads to the primary, and past any pooler; gives it its
    /// settings.
    async fn make_ready(
        &self,
        host: &Host,
        address: Option<IpAddr>,
        mut session: Session,
    ) -> Result<Session, ConnectError> {
        let refused = |error: tokio_postgres::Error| host.refused(&error);
        let (pid, is_standby) = session.identity().await.map_err(refused)?;
        if is_standby {
            let standby = Refusal::passing("this server is a standby, or is recovering");
            return Err(host.error(standby));
        }
        session.backend_pid = pid;
        self.rule_out_pooler(host, address, &session).await?;
        match settle(&session.client, self.schema()).await {
            Ok(()) => Ok(session),
            Err(SettleError::Database(error)) => Err(refused(error)),
            Err(SettleError::Schema(reason)) => Err(host.error(Refusal::lasting(reason))),
        }
    }

    /// Opens a connection to one host, which may be a primary or a standby.
    pub(super) async fn open(&self, index: usize, name: &str) -> Result<Session, ConnectError> {
        self.open_with(index, name, Arc::new(|_: &str| {})).await
    }

    /// The same. `notified` is called with every notification's payload.
    pub(super) async fn open_with(
        &self,
        index: usize,
        name: &str,
        notified: Notified,
    ) -> Result<Session, ConnectError> {
        let host = &self.hosts[index];
        let addresses = host.named_addresses().await?;
        let attempt = |address| self.drive(host, address, name, Arc::clone(&notified));
        self.with_room(host.first_of(&addresses, attempt).await)
    }

    /// Makes readers give way if a session was refused for want of room.
    fn with_room(&self, connected: Result<Session, ConnectError>) -> Result<Session, ConnectError> {
        if connected.as_ref().is_err_and(ConnectError::is_for_want_of_room) {
            self.room.give_way();
        }
        connected
    }

    /// Opens a connection and drives it. The server must be one that the relay can use.
    async fn drive(
        &self,
        host: &Host,
        address: Option<IpAddr>,
        name: &str,
        notified: Notified,
    ) -> Result<Session, ConnectError> {
        let name = format!("progress-relay {name}");
        let Opened { client, connection, tls } = match host.dial(address, &name).await {
            Ok(opened) => opened,
            Err(refusal) => return Err(host.error(refusal)),
        };
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
        let cancelling = Cancelling(tls);
        Ok(Session::drive(client, connection, host.server.clone(), cancelling, notified))
    }

    /// Tries, at the first connection to a host, whether a pooler in transaction mode lies before
    /// it, before the session sets or locks anything.
    async fn rule_out_pooler(
        &self,
        host: &Host,
        address: Option<IpAddr>,
        session: &Session,
    ) -> Result<(), ConnectError> {
        if host.is_direct.load(Ordering::Relaxed) {
            return Ok(());
        }
        let second = self.drive(host, address, "connect", Arc::new(|_: &str| {})).await?;
        match sharing(&session.client, &second.client).await {
            Ok(Sharing::Own) => host.is_direct.store(true, Ordering::Relaxed),
            Ok(Sharing::Shared) => {
                return Err(ConnectError::pooler(&host.server));
            }
            Ok(Sharing::Unknown) => {
                return Err(host.error(Refusal::unanswered()));
            }
            Err(error) => return Err(host.refused(&error)),
        }
        Ok(())
    }
}

impl Host {
    async fn named_addresses(&self) -> Result<Vec<Option<IpAddr>>, ConnectError> {
        self.addresses().await.map_err(|refusal| self.error(refusal))
    }

    /// The first session at one of these addresses, each of which has its own time.
    async fn first_of<'a, F>(
        &'a self,
        addresses: &[Option<IpAddr>],
        attempt: impl Fn(Option<IpAddr>) -> F,
    ) -> Result<Session, ConnectError>
    where
        F: Future<Output = Result<Session, ConnectError>> + Send + 'a,
    {
        let ask = |address| {
            let attempt = timeout(self.address_timeout, attempt(address));
            let silent = || self.error(Refusal::silent(self.address_timeout));
            async move { attempt.await.unwrap_or_else(|_| Err(silent())) }.boxed()
        };
        let refused = match first_success(addresses.iter().copied(), ask).await {
            Ok(session) => return Ok(session),
            Err(refused) => refused,
        };
        Err(ConnectError::of_all(refused, &self.server))
    }

    /// The error of a host that has refused a statement.
    fn refused(&self, error: &tokio_postgres::Error) -> ConnectError {
        self.error(self.refusal(error))
    }

    fn error(&self, refusal: Refusal) -> ConnectError {
        let Refusal { reason, permanent, code, .. } = refusal;
        ConnectError::Refused { server: self.server.clone(), reason, permanent, code }
    }
}
