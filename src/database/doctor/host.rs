//! One host of a connection string, before anything is set on the session.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::ask::{Trouble, row};
use crate::database::connect::Connector;
use crate::database::errors::ConnectError;
use crate::database::session::Session;

/// How long a host may take to accept a connection and to answer, a second look included.
const HOST_TIMEOUT: Duration = Duration::from_secs(6);

/// The server's clock may be set by this many seconds while a session is opened.
const CLOCK_STEP: f64 = 0.05;

/// The server on one host, as it describes itself and this session.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HostLook {
    /// Whether it is a standby, or is recovering.
    pub(crate) in_recovery: bool,
    /// The release, as text.
    pub(crate) release: String,
    /// Whether a password was given for it.
    #[serde(skip)]
    pub(crate) has_password: bool,
    /// The role of the session, and the database, as SQL names them.
    pub(crate) role: String,
    pub(crate) database: String,
    /// The seconds since the server began to serve this session.
    age: f64,
    /// Whether the connection to the server is older than the session: a pooler has made it for
    /// another one.
    #[serde(skip)]
    pub(crate) is_reused: bool,
    /// Whether the connection is encrypted, and how.
    pub(crate) tls: bool,
    /// The protocol and the cipher of an encrypted connection.
    pub(crate) cipher: String,
    /// The server's address; `None` on a Unix socket.
    pub(crate) server_address: Option<String>,
    /// The address from which the server sees this session; `None` on a Unix socket.
    pub(crate) client_address: Option<String>,
}

impl HostLook {
    /// Whether the bytes stay on this machine.
    pub(crate) fn is_this_machine(&self) -> bool {
        self.server_address == self.client_address
    }
}

const LOOK: &str = "\
    SELECT pg_is_in_recovery() AS in_recovery, current_setting('server_version') AS release, \
        quote_ident(current_user) AS role, quote_ident(current_database()) AS database, \
        extract(epoch FROM clock_timestamp() - backend_start)::float8 AS age, \
        coalesce(ssl, false) AS tls, coalesce(sslversion || ' ' || sslcipher, '') AS cipher, \
        host(inet_server_addr()) AS server_address, host(inet_client_addr()) AS client_address \
    FROM pg_stat_get_activity(pg_backend_pid())";

impl Connector {
    /// Connects to one host, primary or standby, and asks who it is. Nothing is set.
    ///
    /// # Errors
    /// If it is not reached, refuses the session, or is of a release or an encoding that the relay
    /// cannot use.
    pub(crate) async fn look_in(&self, host: usize) -> Result<(Session, HostLook), ConnectError> {
        let late = |reason: String| ConnectError::Refused {
            server: self.host_server(host).to_owned(),
            reason,
            permanent: false,
            code: None,
        };
        let begun = Instant::now();
        let look = async {
            let session = self.open(host, "doctor").await?;
            let look = row::<HostLook>(&session, LOOK).await;
            let look = look.map_err(|trouble: Trouble| late(trouble.to_string()))?;
            let is_reused = look.age > begun.elapsed().as_secs_f64() + CLOCK_STEP;
            let has_password = self.has_password(host);
            Ok((session, HostLook { has_password, is_reused, ..look }))
        };
        match timeout(HOST_TIMEOUT, look).await {
            Ok(looked) => looked,
            Err(_) => Err(late(format!("no answer within {} s", HOST_TIMEOUT.as_secs()))),
        }
    }

    /// Opens another session on a host that was looked at. `notified` is called with the payload of
    /// every notification.
    ///
    /// # Errors
    /// As [`Connector::look_in`].
    pub(super) async fn open_again(
        &self,
        host: usize,
        notified: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Session, Trouble> {
        match timeout(HOST_TIMEOUT, self.open_with(host, "doctor", Arc::new(notified))).await {
            Ok(session) => session.map_err(|error| Trouble::Refused(error.to_string())),
            Err(_) => Err(Trouble::Late),
        }
    }
}
