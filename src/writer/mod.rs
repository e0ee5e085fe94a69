//! Group commit: everything that waits goes into one statement, and nothing waits for a timer.
//!
//! A commit that notifies costs the same whether it carries one row or a thousand, and commits go one after the other: what
//! arrives while one is under way shares the next.

mod queue;
mod statement;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Reconnect;
use crate::event::Event;
use crate::store::{Connector, explain};
use crate::vital::Vital;

pub use queue::{Outcome, QueueFull, QueueLimits};
use queue::{Queue, Submission};
use statement::Inserter;

/// Statements under way at once, each on a connection of its own: while one commits the next is on its way, which counts
/// where the database is not on this machine (on one, where the processor is the limit, one to three take the same). And
/// when one connection is lost the other goes on.
const STATEMENTS: usize = 2;
/// Bounds of one statement; a request larger than that goes alone.
const MAX_STATEMENT_ROWS: usize = 2_000;
const MAX_STATEMENT_BYTES: usize = 8 * 1024 * 1024;

/// How long a new connection may take to be set up.
const PREPARE_PATIENCE: Duration = Duration::from_secs(5);

/// Why an event was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// At its bounds, at once.
    #[error("the queue to the database is full")]
    QueueFull,
    /// Not within the deadline. It may be committed all the same: trying again is safe.
    #[error("the database did not commit in time")]
    Late,
}

/// Hands events to the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: Arc<Queue>,
    commit_timeout: Duration,
    connected: Arc<AtomicUsize>,
}

/// The writer's tasks.
#[derive(Debug)]
pub struct WriterTasks {
    queue: Arc<Queue>,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl Writer {
    /// Starts the writer on `connector`, which must lead to the primary directly.
    pub fn start(
        connector: &Connector,
        limits: QueueLimits,
        commit_timeout: Duration,
        vital: &Vital,
    ) -> (Self, WriterTasks) {
        let queue = Queue::new(limits);
        let connected = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for _ in 0..STATEMENTS {
            let worker = Worker {
                queue: Arc::clone(&queue),
                connector: connector.clone(),
                statement_timeout: commit_timeout,
                connected: Arc::clone(&connected),
            };
            tasks.push(vital.spawn("writer", worker.run()));
        }
        (Self { queue: Arc::clone(&queue), commit_timeout, connected }, WriterTasks { queue, tasks })
    }

    /// Stores one request's events; answers once they are committed, an outcome for each in order.
    pub async fn write(&self, events: Vec<Event>) -> Result<Vec<Outcome>, WriteError> {
        let deadline = Instant::now() + self.commit_timeout;
        let reply = self.queue.submit(events, deadline).map_err(|QueueFull| WriteError::QueueFull)?;
        self.wait(reply, deadline).await
    }

    async fn wait(
        &self,
        reply: oneshot::Receiver<Vec<Outcome>>,
        deadline: Instant,
    ) -> Result<Vec<Outcome>, WriteError> {
        match tokio::time::timeout_at(deadline, reply).await {
            Ok(Ok(outcomes)) => Ok(outcomes),
            // Without an answer: the deadline passed while it waited, or the writer was stopped.
            Ok(Err(_)) | Err(_) => Err(WriteError::Late),
        }
    }

    /// Whether the queue was full and there is no relief yet: a request's events need not even be read.
    pub fn is_refusing(&self) -> bool {
        self.queue.is_refusing()
    }

    /// Whether a connection to write on stands.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed) > 0
    }

    /// Events that wait or are under way.
    pub fn queued(&self) -> usize {
        self.queue.rows()
    }
}

impl WriterTasks {
    /// Waits until nothing is queued (requests whose client has gone count too), at most until `deadline`, and stops.
    pub async fn drain(self, deadline: Instant) {
        const LOOK: Duration = Duration::from_millis(10);
        while self.queue.rows() > 0 && Instant::now() < deadline {
            self.queue.drop_expired();
            tokio::time::sleep(LOOK).await;
        }
        drop(self.tasks);
    }
}

struct Worker {
    queue: Arc<Queue>,
    connector: Connector,
    statement_timeout: Duration,
    connected: Arc<AtomicUsize>,
}

/// Counts a connection for as long as it is held.
struct Connected<'a>(&'a AtomicUsize);

impl<'a> Connected<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    async fn run(self) {
        let mut reconnect = Reconnect::new("writer");
        loop {
            let reason = match self.connect().await {
                Ok(inserter) => {
                    let _connected = Connected::new(&self.connected);
                    self.write_on(&inserter, &mut reconnect).await
                }
                Err(reason) => reason,
            };
            self.queue.drop_expired();
            reconnect.failed(&reason).await;
        }
    }

    async fn connect(&self) -> Result<Inserter, String> {
        let session = self.connector.connect("writer").await.map_err(|error| error.to_string())?;
        match tokio::time::timeout(PREPARE_PATIENCE, Inserter::new(session)).await {
            Ok(prepared) => prepared.map_err(|error| format!("preparing its statement: {}", explain(&error))),
            // Someone has the table locked, perhaps.
            Err(_) => Err(format!("its statement was not prepared within {} s", PREPARE_PATIENCE.as_secs())),
        }
    }

    /// Writes what comes until the connection fails; says why it did.
    async fn write_on(&self, inserter: &Inserter, reconnect: &mut Reconnect) -> String {
        loop {
            let submissions = tokio::select! {
                taken = self.queue.take(MAX_STATEMENT_ROWS, MAX_STATEMENT_BYTES) => taken,
                () = inserter.session.ended() => return "the connection was lost".to_owned(),
            };
            match self.write(inserter, submissions).await {
                Ok(()) => reconnect.succeeded(),
                Err(reason) => return format!("a statement failed: {reason}"),
            }
        }
    }

    async fn write(&self, inserter: &Inserter, submissions: Vec<Submission>) -> Result<(), String> {
        // Whatever becomes of this future, what it took is answered or goes back.
        let mut taken = Taken { queue: &self.queue, submissions };
        let events: Vec<&Event> =
            taken.submissions.iter().flat_map(|submission| &submission.events).collect();
        let stored = tokio::time::timeout(self.statement_timeout, inserter.store(&events)).await;
        let outcomes = match stored {
            Ok(Ok(outcomes)) => outcomes,
            Ok(Err(error)) => return Err(explain(&error)),
            Err(_) => {
                // Nobody waits any more; a statement left behind would go on holding its place for the lock.
                inserter.session.cancel().await;
                return Err(format!("no answer within {} s", self.statement_timeout.as_secs_f32()));
            }
        };
        let mut outcomes = outcomes.into_iter();
        for submission in taken.submissions.drain(..) {
            let own = outcomes.by_ref().take(submission.events.len()).collect();
            // The client may have gone; its events are stored all the same.
            let _ = submission.reply.send(own);
        }
        Ok(())
    }
}

/// Submissions on their way; those that were not answered go back to the queue.
struct Taken<'a> {
    queue: &'a Queue,
    submissions: Vec<Submission>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.submissions.is_empty() {
            self.queue.put_back(std::mem::take(&mut self.submissions));
        }
    }
}
