//! One connection: its settings, the task that drives it, and the messages that PostgreSQL sends
//! beside the answers.

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

/// How long a request to cancel a statement may take to be delivered.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// What every session of the relay sets for itself, so that nothing that a role or a database has
/// set for other applications can wedge it: no deadlines but its own, READ COMMITTED (which the
/// order of ids depends on), read-write, and keepalives by which the server finds that this machine
/// is gone. A commit waits for the disk and, where one is configured, for the synchronous standby.
pub(super) const SESSION_SETTINGS: &str = "\
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0; \
    SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; \
    SET default_transaction_deferrable = off; SET client_min_messages = notice; \
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2; \
    SET tcp_user_timeout = 20000; \
    SELECT set_config('synchronous_commit', 'on', false) \
        WHERE current_setting('synchronous_commit') IN ('off', 'local'); \
    SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false)";

/// Which process of the server serves a session, and whether the server takes writes.
pub(super) const IDENTITY: &str = "SELECT pg_backend_pid(), pg_is_in_recovery()";

/// The function of PostgreSQL's that waits for a synchronous standby, as it names itself in the
/// notice that a wait was cancelled. (The notice's SQLSTATE is that of every warning.)
const STANDBY_WAIT: &str = "SyncRepWaitForLSN";

/// Called with each notification's payload, in the task that drives the connection.
pub(super) type Notified = Arc<dyn Fn(&str) + Send + Sync>;

/// A connection and the task that drives it.
#[derive(Debug)]
pub struct Session {
    /// To run statements on.
    pub client: Client,
    /// The server's process, as `pg_stat_activity` and `pg_terminate_backend` know it.
    pub backend_pid: i32,
    /// The host and port that it leads to.
    pub place: String,
    unconfirmed: Arc<AtomicU64>,
    driver: JoinHandle<()>,
    gone: CancellationToken,
}

impl Session {
    /// Drives `connection` in a task. To await the connection as a future would throw its
    /// notifications away, so the task takes its messages one by one.
    pub(super) fn drive<S, T>(
        client: Client,
        mut connection: Connection<S, T>,
        place: String,
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
                        // Before the statement's own answer is passed on: they come in this order.
                        if notice.routine() == Some(STANDBY_WAIT) {
                            counted.fetch_add(1, Ordering::Release);
                        }
                        tracing::debug!(
                            severity = notice.severity(),
                            "PostgreSQL says: {}",
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
        Self { client, backend_pid: 0, place, unconfirmed, driver, gone }
    }

    /// Resolves when the connection is gone, also while no statement is under way.
    pub async fn ended(&self) {
        self.gone.cancelled().await;
    }

    /// Asks the server to end the statement under way; best effort.
    pub async fn cancel(&self) {
        let _ = timeout(CANCEL_TIMEOUT, self.client.cancel_token().cancel_query(NoTls)).await;
    }

    /// How many waits for a synchronous standby were cancelled on this connection, by an operator:
    /// the server then says that the statement has succeeded, and warns. The warning has been
    /// counted when the statement's answer arrives.
    pub fn unconfirmed(&self) -> u64 {
        self.unconfirmed.load(Ordering::Acquire)
    }

    /// Ends the session, and with it a statement that may still run on the server. Nobody waits for
    /// that. A writer's statement is never ended so: a commit that waits for a standby must go on.
    pub fn abandon(self) {
        tokio::spawn(async move { self.cancel().await });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
