//! One connection: its settings, the task that drives it, and the messages that PostgreSQL sends
//! without being asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};
use tokio_util::sync::CancellationToken;

use super::errors::explain;

/// How long it may take to deliver a request to cancel a statement.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// The server process of a session, and whether the server is a standby.
pub(super) const IDENTITY: &str = "SELECT pg_backend_pid(), pg_is_in_recovery()";

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
    driver: JoinHandle<()>,
    gone: CancellationToken,
}

impl Session {
    /// Drives `connection` in a task. The task polls the connection for its messages: to await the
    /// connection as a future would drop the notifications.
    pub(super) fn drive<S, T>(
        client: Client,
        mut connection: Connection<S, T>,
        server: String,
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
        Self { client, backend_pid: 0, server, unconfirmed, driver, gone }
    }

    /// Resolves when the connection has ended, also while no statement is under way.
    pub async fn ended(&self) {
        self.gone.cancelled().await;
    }

    /// Asks the server to cancel the statement under way. The request may be lost.
    pub async fn cancel(&self) {
        let _ = timeout(CANCEL_TIMEOUT, self.client.cancel_token().cancel_query(NoTls)).await;
    }

    /// The number of waits for a synchronous standby that an operator cancelled on this connection.
    /// After such a cancellation the server reports success and a warning. The warning has been
    /// counted when the statement's answer arrives.
    pub fn unconfirmed(&self) -> u64 {
        self.unconfirmed.load(Ordering::Acquire)
    }

    /// Ends the session, and cancels a statement that may still run on the server. The caller does
    /// not wait for that. A writer's statement must never be ended like this, since a commit that
    /// waits for a standby must go on.
    pub fn abandon(self) {
        tokio::spawn(async move { self.cancel().await });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
