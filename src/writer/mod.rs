//! Group commit: all events that wait go into one statement, and no event waits for a timer.
//!
//! A commit that notifies costs the same whether it carries one row or a thousand, and such commits
//! go one after the other. So the events that arrive while a statement commits share the next one.
//!
//! - `queue`: the requests that wait, within bounds; `worker`: takes them, and answers them
//! - `statement`: stores the events of one statement, and finds the ones at fault when it fails
//! - `metrics`: metrics of each statement
//! - `trouble`: the cause that keeps events from being stored, for readiness and answers

mod metrics;
mod queue;
mod statement;
mod trouble;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::agreement::Agreement;
use crate::database::Connector;
use crate::event::Event;
use crate::metrics::Registry;
use crate::supervisor::Supervisor;
use metrics::WriterMetrics;
use queue::Queue;
use trouble::Troubles;
use worker::Worker;

pub(crate) use queue::{Outcome, QueueFull, QueueLimits, Written};
pub use statement::which_statement;
pub(crate) use trouble::Trouble;

/// Statements that may be under way at once, each on a connection. While one commits, the next is
/// on its way, which counts where the database is on another machine; on one machine, where the
/// processor is the limit, one to three statements take the same. When one connection is lost, the
/// other goes on.
const STATEMENTS: usize = 2;

/// Why it is not known that a request's events are stored. Some may be: to send them again is
/// safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    /// The queue is at its bounds. The request is answered at once.
    #[error("the queue to the database is full")]
    QueueFull {
        /// The cause that keeps the database from storing, if there is one.
        cause: Option<String>,
    },
    /// The commit did not come within the deadline.
    #[error("the database did not commit within {} s", after.as_secs_f32())]
    Late {
        /// The time that the request waited.
        after: Duration,
        /// The cause that keeps the database from storing, if there is one.
        cause: Option<String>,
    },
    /// The database stores other events, and not one of these.
    #[error("the database does not store it: {cause}")]
    Failed {
        /// The database's error.
        cause: String,
    },
}

/// The writer's bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    /// Bounds on the events that wait to be written.
    pub queue: QueueLimits,
    /// How long a request waits for the commit of its events.
    pub commit_timeout: Duration,
}

/// Hands events to the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
    commit_timeout: Duration,
    connected: Arc<AtomicUsize>,
    troubles: Troubles,
    metrics: WriterMetrics,
}

/// The tasks that store the queue's events. They stop after the sessions and the requests.
#[derive(Debug)]
pub(crate) struct WriterTasks {
    queue: Arc<Queue>,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl Writer {
    /// Starts the writer on `connector`, which must lead to the primary directly. A statement
    /// counts only if it ran on the server that the other parts talk to: see [`Agreement`].
    pub(crate) fn start(
        connector: &Connector,
        agreement: &Agreement,
        config: Config,
        supervisor: &Supervisor,
    ) -> (Self, WriterTasks) {
        const NAMES: [&str; STATEMENTS] = ["writer 1", "writer 2"];
        let Config { queue: limits, commit_timeout } = config;
        let queue = Queue::new(limits);
        let connected = Arc::new(AtomicUsize::new(0));
        let troubles = Troubles::default();
        let metrics = WriterMetrics::default();
        let mut tasks = Vec::new();
        for name in NAMES {
            let worker = Worker {
                name,
                queue: Arc::clone(&queue),
                connector: connector.clone(),
                agreement: agreement.clone(),
                commit_timeout,
                connected: Arc::clone(&connected),
                troubles: troubles.clone(),
                metrics: metrics.clone(),
                last_good: None,
            };
            tasks.push(supervisor.spawn("writer", worker.run()));
        }
        let writer =
            Self { queue: Arc::clone(&queue), commit_timeout, connected, troubles, metrics };
        (writer, WriterTasks { queue, tasks })
    }

    /// Registers the writer's metrics.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let queue = Arc::clone(&self.queue);
        registry.gauge(
            "relay_queued_events",
            "Events that wait to be written or are being written.",
            move || queue.rows() as i64,
        );
        let connected = Arc::clone(&self.connected);
        registry.gauge(
            "relay_writer_connected",
            "Whether there is a connection to write on.",
            move || i64::from(connected.load(Ordering::Relaxed) > 0),
        );
        self.metrics.register(registry);
    }

    /// Stores one request's events; answers once they are committed, as durably as the database is
    /// configured to, on the server that this replica's dashboards are fed from.
    ///
    /// # Errors
    /// If the queue is full, the commit does not come in time, or the database refuses an event for
    /// a reason that is not the event's own.
    pub(crate) async fn write(&self, events: Vec<Event>) -> Result<Written, WriteError> {
        let deadline = Instant::now() + self.commit_timeout;
        let reply = self
            .queue
            .submit(events, deadline)
            .map_err(|QueueFull| WriteError::QueueFull { cause: self.cause() })?;
        let written = match tokio::time::timeout_at(deadline, reply).await {
            Ok(Ok(written)) => written,
            // The deadline passed, or the submission was dropped when it did.
            Ok(Err(_)) | Err(_) => {
                return Err(WriteError::Late { after: self.commit_timeout, cause: self.cause() });
            }
        };
        let failed = written.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Failed(cause) => Some(cause.clone()),
            _ => None,
        });
        failed.map_or(Ok(written), |cause| Err(WriteError::Failed { cause }))
    }

    fn cause(&self) -> Option<String> {
        self.troubles.now().map(|trouble| trouble.cause)
    }

    /// Whether the queue was full and is not yet below its low-water mark. A request need not even
    /// be read then.
    pub(crate) fn is_refusing(&self) -> bool {
        self.queue.is_refusing()
    }

    /// The same as an error, for a request that is not read.
    pub(crate) fn refusal(&self) -> WriteError {
        WriteError::QueueFull { cause: self.cause() }
    }

    /// The cause that keeps events from being stored; `None` after a success.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.troubles.now()
    }
}

impl WriterTasks {
    /// Waits until nothing is queued (requests whose client has gone count too), at most until
    /// `deadline`, and stops.
    pub(crate) async fn drain(self, deadline: Instant) {
        const LOOK: Duration = Duration::from_millis(10);
        while self.queue.rows() > 0 && Instant::now() < deadline {
            self.queue.drop_expired();
            tokio::time::sleep(LOOK).await;
        }
        drop(self.tasks);
    }
}
