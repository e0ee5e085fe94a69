//! Connections of the relay's own: each with a name in `pg_stat_activity`, keepalives and deadlines.

use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

use super::OLDEST_POSTGRES;

/// A connection that cannot be made within this long is tried anew.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Keepalives find a peer that vanished without a word after 10 s + 3 × 5 s; the default is two hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// Sent data that nobody acknowledges for this long ends the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error("{0}")]
    Url(String),
    /// The server was not reached, or refused.
    #[error("cannot connect to PostgreSQL at {place}: {reason}")]
    Refused {
        /// Host, port and database.
        place: String,
        /// What the system or the server said.
        reason: String,
        /// Whether another attempt can only fail too: password, role or database wrong.
        permanent: bool,
    },
    /// Not every text would fit, and not every text that is there could be read.
    #[error(
        "the database at {place} is encoded in {found}; the relay needs UTF8: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
    )]
    Encoding {
        /// Host, port and database.
        place: String,
        /// The database's encoding.
        found: String,
    },
    /// Older than [`OLDEST_POSTGRES`].
    #[error("PostgreSQL at {place} is release {found}; the relay needs {OLDEST_POSTGRES} or newer")]
    TooOld {
        /// Host, port and database.
        place: String,
        /// The server's release.
        found: String,
    },
}

impl ConnectError {
    /// Whether trying again is of no use until a person has done something.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Refused { permanent: false, .. })
    }
}

/// Knows how to reach one database.
#[derive(Debug, Clone)]
pub struct Connector {
    config: Config,
    place: String,
}

/// A connection and the task that drives it.
#[derive(Debug)]
pub struct Session {
    /// To run statements on.
    pub client: Client,
    /// The server's process, as `pg_stat_activity` and `pg_terminate_backend` know it.
    pub backend_pid: i32,
    driver: JoinHandle<()>,
    gone: CancellationToken,
}

impl Session {
    /// Resolves when the connection is gone, also while no statement is under way.
    pub async fn ended(&self) {
        self.gone.cancelled().await;
    }

    /// Asks the server to end the statement under way; best effort.
    pub async fn cancel(&self) {
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, self.client.cancel_token().cancel_query(NoTls)).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connector {
    /// Reads a `postgres://` URL or a `key=value` string. The error does not repeat it: it may hold a password.
    pub fn parse(url: &str) -> Result<Self, ConnectError> {
        let config: Config = url.parse().map_err(|error| ConnectError::Url(crate::error::chain(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(ConnectError::Url("it names no host".to_owned()));
        }
        if config.get_ssl_mode() == SslMode::Require {
            return Err(ConnectError::Url(
                "sslmode=require: this release does not speak TLS to PostgreSQL; put a TLS proxy (stunnel, \
                 a service mesh, a cloud vendor's proxy) beside the relay"
                    .to_owned(),
            ));
        }
        Ok(Self::new(config))
    }

    /// A connector by a configuration that is known to be whole.
    pub fn new(mut config: Config) -> Self {
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(USER_TIMEOUT);
        let place = place(&config);
        Self { config, place }
    }

    /// Host, port and database, without user and password.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The configuration with a name for `pg_stat_activity`.
    pub fn named(&self, name: &str) -> Config {
        let mut config = self.config.clone();
        config.application_name(format!("progress-relay {name}"));
        config
    }

    /// Connects; notifications that arrive are dropped. `name` shows in `pg_stat_activity`.
    pub async fn connect(&self, name: &str) -> Result<Session, ConnectError> {
        self.connect_with(name, |_| {}).await
    }

    /// Connects; `notified` is called with every notification's payload, in the task that drives the connection.
    pub async fn connect_with(
        &self,
        name: &str,
        mut notified: impl FnMut(&str) + Send + 'static,
    ) -> Result<Session, ConnectError> {
        let refused = |error: tokio_postgres::Error| self.refused(&error);
        let config = self.named(name);
        let attempt = config.connect(NoTls);
        // The library's own timeout covers the TCP connection, not the server's answer.
        let (client, mut connection) = match tokio::time::timeout(2 * CONNECT_TIMEOUT, attempt).await {
            Ok(connected) => connected.map_err(refused)?,
            Err(_) => return Err(self.silent()),
        };
        if let Some(found) = connection.parameter("server_version").map(str::to_owned) {
            let major: Option<u32> =
                found.split(['.', ' ', 'b', 'r', 'd']).next().and_then(|n| n.parse().ok());
            if major.is_some_and(|major| major < OLDEST_POSTGRES) {
                return Err(ConnectError::TooOld { place: self.place.clone(), found });
            }
        }
        if let Some(found) = connection.parameter("server_encoding").filter(|found| *found != "UTF8") {
            return Err(ConnectError::Encoding { place: self.place.clone(), found: found.to_owned() });
        }
        // Awaiting the connection as a future would throw notifications away.
        let gone = CancellationToken::new();
        let guard = gone.clone().drop_guard();
        let driver = tokio::spawn(async move {
            let _guard = guard;
            let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(message) = messages.next().await {
                match message {
                    Ok(AsyncMessage::Notification(notification)) => notified(notification.payload()),
                    Ok(AsyncMessage::Notice(notice)) => {
                        tracing::debug!(
                            severity = notice.severity(),
                            "PostgreSQL says: {}",
                            notice.message()
                        );
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!("a connection to PostgreSQL ended: {}", super::explain(&error));
                        break;
                    }
                }
            }
        });
        let pid =
            match tokio::time::timeout(CONNECT_TIMEOUT, client.query_one("SELECT pg_backend_pid()", &[]))
                .await
            {
                Ok(row) => row.and_then(|row| row.try_get(0)).map_err(refused)?,
                Err(_) => return Err(self.silent()),
            };
        Ok(Session { client, backend_pid: pid, driver, gone })
    }

    fn silent(&self) -> ConnectError {
        ConnectError::Refused {
            place: self.place.clone(),
            reason: format!("no answer within {} s", 2 * CONNECT_TIMEOUT.as_secs()),
            permanent: false,
        }
    }

    fn refused(&self, error: &tokio_postgres::Error) -> ConnectError {
        // 28: wrong user or password; 3D000: no such database.
        let permanent =
            error.code().is_some_and(|state| state.code().starts_with("28") || state.code() == "3D000");
        ConnectError::Refused { place: self.place.clone(), reason: super::explain(error), permanent }
    }
}

fn place(config: &Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or("postgres");
    format!("{} port {port}, database {database}", hosts.join(","))
}
