//! The database that a relay uses: an operator's, or a private PostgreSQL that the relay starts,
//! restarts when it ends, and stops.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::database::Connector;
use crate::embedded::{Options, PrivatePostgres};
use crate::error::{Failure, chain};

/// A stop waits this long for the private PostgreSQL to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// A command that started the private PostgreSQL for its own work waits this long for its end.
const COMMAND_STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// The wait before a private PostgreSQL that ended is started again, and the longest such wait.
const RESTART_BASE: Duration = Duration::from_millis(50);
const RESTART_CAP: Duration = Duration::from_secs(5);

/// The database that a relay uses.
#[derive(Debug, Clone)]
pub(crate) enum DatabaseSource {
    /// An operator's server, reached directly and not through a pooler.
    External(Box<Connector>),
    /// A private PostgreSQL, whose data is in this folder.
    Private(PathBuf),
}

impl DatabaseSource {
    /// Does a command's work on the database. A private PostgreSQL that a running relay has started
    /// is shared with it; otherwise it is started, and stopped after the work.
    ///
    /// # Errors
    /// The work's; or the private PostgreSQL's, if it does not start or stop.
    pub(crate) async fn with_connector(
        self,
        command: &str,
        work: impl AsyncFnOnce(&Connector) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::External(connector) => work(&connector).await,
            Self::Private(folder) => {
                let owner = format!("progress-relay {command}, pid {}", std::process::id());
                let private =
                    PrivatePostgres::join_or_start(Options::durable(folder), &owner).await?;
                let outcome = work(&Connector::new(&private.config())).await;
                private.stop(COMMAND_STOP_TIMEOUT).await?;
                outcome
            }
        }
    }

    /// The connector to the database, and the private PostgreSQL, which this starts if it is the
    /// database. A second relay that wants the same folder is told `owner`.
    pub(super) async fn open(
        &self,
        owner: &str,
    ) -> Result<(Connector, Option<PrivatePostgres>), Failure> {
        match self {
            Self::External(connector) => Ok((Connector::clone(connector), None)),
            Self::Private(folder) => {
                let private =
                    PrivatePostgres::start(Options::durable(folder.clone()), owner).await?;
                Ok((Connector::new(&private.config()), Some(private)))
            }
        }
    }
}

/// Keeps a private PostgreSQL running: starts it again whenever it ends, until it is stopped.
pub(super) struct PostgresSupervisor {
    task: JoinHandle<PrivatePostgres>,
    stop: CancellationToken,
}

impl PostgresSupervisor {
    pub(super) fn start(private: PrivatePostgres) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervise(private, stop.clone()));
        Self { task, stop }
    }

    /// Stops PostgreSQL as its operator would: sessions end, a checkpoint is written.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        self.stop.cancel();
        Ok(self.task.await?.stop(STOP_TIMEOUT).await?)
    }

    /// Tells PostgreSQL to end, and waits for nothing: the operator sent a second signal.
    pub(super) async fn abandon(self) {
        self.stop.cancel();
        if let Ok(private) = self.task.await {
            private.abandon();
        }
    }
}

async fn supervise(mut private: PrivatePostgres, stop: CancellationToken) -> PrivatePostgres {
    let mut backoff = Backoff::new(RESTART_BASE, RESTART_CAP);
    loop {
        let status = tokio::select! {
            status = private.exited() => status,
            () = stop.cancelled() => return private,
        };
        tracing::error!(?status, "the private PostgreSQL has ended; starting it again");
        let since = Instant::now();
        tokio::select! {
            restarted = private.restart() => match restarted {
                Ok(()) => {
                    let seconds = since.elapsed().as_secs_f32();
                    tracing::info!("the private PostgreSQL runs again after {seconds:.1} s");
                }
                Err(error) => {
                    tracing::error!("the private PostgreSQL does not start: {}", chain(&error));
                }
            },
            () = stop.cancelled() => return private,
        }
        tokio::select! {
            () = backoff.wait() => {}
            () = stop.cancelled() => return private,
        }
        if since.elapsed() > RESTART_CAP {
            backoff.reset();
        }
    }
}
