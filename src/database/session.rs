//! One connection: its settings, the task that drives it, and the messages that PostgreSQL sends
//! without being asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Connection, Error, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::errors::{ConnectError, explain};
use super::tls::TlsConnector;

/// How long it may take to deliver a request to cancel a statement.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// The function of PostgreSQL that waits for a synchronous standby. It names itself in the notice
/// that such a wait was cancelled, whose SQLSTATE is that of every warning.
const STANDBY_WAIT: &str = "SyncRepWaitForLSN";

/// Called with each notification's payload, in the task that drives the connection.
pub(super) type Notified = Arc<dyn Fn(&str) + Send + Sync>;

/// A connection and the task that drives it.
#[derive(Debug)]
pub struct Session {
    /// Runs statements on the connection.
    pub client: Client,
    /// The server process, as in `pg_stat_activity`.
    pub backend_pid: i32,
    /// The host, port and database that the connection leads to.
    pub server: String,
    unconfirmed: Arc<AtomicU64>,
    driver: AbortOnDropHandle<()>,
    gone: CancellationToken,
    cancelling: Cancelling,
}

/// Sends the requests to cancel a statement.
#[derive(Debug, Clone)]
pub(super) struct Cancelling(pub(super) TlsConnector);

impl Cancelling {
    /// Asks the server to cancel the statement under way on a connection. The request may be lost.
    pub(super) async fn cancel(&self, client: &Client) {
        let token = client.cancel_token();
        let _ = timeout(CANCEL_TIMEOUT, token.cancel_query(self.0.clone())).await;
    }
}

impl Session {
    /// Drives `connection` in a task. The task polls the connection for its messages: to await the
    /// connection as a future would drop the notifications.
    pub(super) fn drive<S, T>(
        client: Client,
        mut connection: Connection<S, T>,
        server: String,
        cancelling: Cancelling,
        notified: Notified,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let gone = CancellationToken::new();
        let guard = gone.clone().drop_guard();
        let unconfirmed = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&unconfirmed);
        let driver = tokio::spawn(async move {
            let _guard = guard;
            let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(message) = messages.next().await {
                match message {
                    Ok(AsyncMessage::Notification(notification)) => {
                        notified(notification.payload())
                    }
                    Ok(AsyncMessage::Notice(notice)) => {
                        // The notice comes before the statement's answer, so it is counted when
                        // the answer arrives.
                        if notice.routine() == Some(STANDBY_WAIT) {
                            counted.fetch_add(1, Ordering::Release);
                        }
                        tracing::debug!(
                            severity = notice.severity(),
                            "a notice of PostgreSQL: {}",
                            notice.message()
                        );
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!("a connection to PostgreSQL ended: {}", explain(&error));
                        break;
                    }
                }
            }
        });
        let driver = AbortOnDropHandle::new(driver);
        Self { client, backend_pid: 0, server, unconfirmed, driver, gone, cancelling }
    }

    /// The server process, and whether the server is a standby. The question prepares no statement:
    /// behind a pooler in transaction mode, that would be left behind. The role's settings are not
    /// overridden yet: the names are in full, since its `search_path` may lead to others; and the
    /// transaction is not the role's, which may be one that a standby refuses, or one that waits
    /// for other applications' transactions.
    pub(super) async fn identity(&self) -> Result<(i32, bool), Error> {
        const IDENTITY: &str = "\
             SET LOCAL TRANSACTION ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE; \
             SET LOCAL statement_timeout = 0; SET LOCAL jit = off; \
             SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery()";
        let answer = match self.client.simple_query(IDENTITY).await {
            Err(error) if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) => {
                return Ok((0, true));
            }
            answer => answer?,
        };
        let identity = answer.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((row.get(0)?.parse().ok()?, row.get(1)? == "t")),
            _ => None,
        });
        Ok(identity.unwrap_or_default())
    }

    /// Resolves when the connection has ended, also while no statement is under way.
    pub async fn ended(&self) {
        self.gone.cancelled().await;
    }

    /// Asks the server to cancel the statement under way. The request may be lost.
    pub async fn cancel(&self) {
        self.cancelling.cancel(&self.client).await;
    }

    /// The number of waits for a synchronous standby that an operator cancelled on this connection.
    /// After such a cancellation the server reports success and a warning. The warning has been
    /// counted when the statement's answer arrives.
    pub fn unconfirmed(&self) -> u64 {
        self.unconfirmed.load(Ordering::Acquire)
    }

    /// The error of a connection whose first statements failed.
    pub(super) fn refused(&self, error: &Error) -> ConnectError {
        ConnectError::Refused {
            server: self.server.clone(),
            reason: explain(error),
            permanent: false,
            code: error.code().cloned(),
        }
    }

    /// The connection, the task that drives it, and the way to cancel its statements, for a pool.
    pub(super) fn into_parts(self) -> (Client, JoinHandle<()>, Cancelling) {
        (self.client, self.driver.detach(), self.cancelling)
    }

    /// Ends the session, and cancels a statement that may still run on the server. The caller does
    /// not wait for that. A writer's statement must never be ended like this, since a commit that
    /// waits for a standby must go on.
    pub fn abandon(self) {
        tokio::spawn(async move { self.cancel().await });
    }
}
