//! Group commit: everything that waits goes into one statement, and nothing waits for a timer.
//!
//! A commit that notifies costs the same whether it carries one row or a thousand, and commits go
//! one after the other: what arrives while one is under way shares the next.

mod metrics;
mod queue;
mod statement;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::{Backoff, Reconnect};
use crate::event::{ClassId, Epoch, Event, StudentId};
use crate::metrics::Registry;
use crate::store::{Agreement, Connector, DISPUTE_PATIENCE, explain};
use crate::vital::Vital;

use metrics::WriterMetrics;
pub use queue::{Outcome, QueueFull, QueueLimits, Written};
use queue::{Queue, Submission};
pub use statement::which_statement;
use statement::{Inserter, Stop};
pub use trouble::Trouble;
use trouble::Troubles;

/// Statements under way at once, each on a connection of its own: while one commits the next is on
/// its way, which counts where the database is not on this machine (on one, where the processor is
/// the limit, one to three take the same). And when one connection is lost the other goes on.
const STATEMENTS: usize = 2;
/// Bounds of one statement; a request larger than that goes alone.
const MAX_STATEMENT_ROWS: usize = 2_000;
const MAX_STATEMENT_BYTES: usize = 8 * 1024 * 1024;

/// How long a new connection may take to be set up.
const PREPARE_PATIENCE: Duration = Duration::from_secs(5);
/// How much longer than a request waits a statement may run on the server, waits for locks and for
/// a standby not counted: what takes longer has met a fault.
const STATEMENT_MARGIN: Duration = Duration::from_secs(10);
/// After this long without an answer it is looked what the statement does on the server.
const SILENCE: Duration = Duration::from_secs(1);
/// The wait event of a commit that waits for a synchronous standby.
const STANDBY_WAIT: &str = "SyncRep";
/// What is said of it.
const NO_STANDBY: &str = "commits wait for a synchronous standby, and none confirms them (wait \
     event SyncRep); \
     start the standby, or change synchronous_standby_names";

/// A server that cannot store is asked again this soon, and then ever more slowly.
const FAILING_BASE: Duration = Duration::from_millis(50);
const FAILING_CAP: Duration = Duration::from_secs(1);
/// After so many failures in a row on one connection another is made: it may be the session's
/// fault.
const FAILURES_A_CONNECTION: u32 = 3;
/// A writer that has had nothing to do for this long tries whether it still could.
const IDLE_CHECK: Duration = Duration::from_secs(5);

/// Why a request's events are not known to be stored. Some may be: sending them again is safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The queue is at its bounds. It is said at once.
    #[error("the queue to the database is full")]
    QueueFull {
        /// What keeps the database from storing, if something does.
        cause: Option<String>,
    },
    /// Not within the deadline.
    #[error("the database did not commit within {} s", .after.as_secs_f32())]
    Late {
        /// How long it was waited for.
        after: Duration,
        /// What keeps the database from storing, if something does.
        cause: Option<String>,
    },
    /// The database stores others, and not these.
    #[error("the database does not store it: {cause}")]
    Failed {
        /// What it says.
        cause: String,
    },
}

/// Hands events to the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: Arc<Queue>,
    commit_timeout: Duration,
    connected: Arc<AtomicUsize>,
    troubles: Troubles,
    metrics: WriterMetrics,
}

/// The writer's tasks.
#[derive(Debug)]
pub struct WriterTasks {
    queue: Arc<Queue>,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl Writer {
    /// Starts the writer on `connector`, which must lead to the primary directly. What it stores
    /// counts only on the server that the others talk to as well: see [`Agreement`].
    pub fn start(
        connector: &Connector,
        agreement: &Agreement,
        limits: QueueLimits,
        commit_timeout: Duration,
        vital: &Vital,
    ) -> (Self, WriterTasks) {
        const NAMES: [&str; STATEMENTS] = ["writer 1", "writer 2"];
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
            tasks.push(vital.spawn("writer", worker.run()));
        }
        let writer =
            Self { queue: Arc::clone(&queue), commit_timeout, connected, troubles, metrics };
        (writer, WriterTasks { queue, tasks })
    }

    /// Registers the writer's metrics.
    pub fn register(&self, registry: &mut Registry) {
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
    /// If that is not known of all of them.
    pub async fn write(&self, events: Vec<Event>) -> Result<Written, WriteError> {
        let deadline = Instant::now() + self.commit_timeout;
        let reply = self
            .queue
            .submit(events, deadline)
            .map_err(|QueueFull| WriteError::QueueFull { cause: self.cause() })?;
        let written = match tokio::time::timeout_at(deadline, reply).await {
            Ok(Ok(written)) => written,
            // Without an answer: the deadline passed while it waited, or the writer was stopped.
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

    /// Whether the queue was full and there is no relief yet: a request's events need not even be
    /// read.
    pub fn is_refusing(&self) -> bool {
        self.queue.is_refusing()
    }

    /// The same as an error, for a request that is not read.
    pub fn refusal(&self) -> WriteError {
        WriteError::QueueFull { cause: self.cause() }
    }

    /// Whether a connection to write on stands.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed) > 0
    }

    /// What keeps events from being stored, since the last that was.
    pub fn trouble(&self) -> Option<Trouble> {
        self.troubles.now()
    }

    /// Events that wait or are under way.
    pub fn queued(&self) -> usize {
        self.queue.rows()
    }
}

impl WriterTasks {
    /// Waits until nothing is queued (requests whose client has gone count too), at most until
    /// `deadline`, and stops.
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
    name: &'static str,
    queue: Arc<Queue>,
    connector: Connector,
    agreement: Agreement,
    commit_timeout: Duration,
    connected: Arc<AtomicUsize>,
    troubles: Troubles,
    metrics: WriterMetrics,
    /// Of whom an event was stored last: the control row is of the same, so that an operator's
    /// rules about classes let it pass.
    last_good: Option<(ClassId, StudentId)>,
}

/// A connection while a worker holds it: it is counted, and its backend is looked at.
struct Held<'a> {
    worker: &'a Worker,
    backend_pid: i32,
}

impl<'a> Held<'a> {
    fn new(worker: &'a Worker, inserter: &Inserter) -> Self {
        worker.connected.fetch_add(1, Ordering::Relaxed);
        worker.agreement.watch_backend(inserter.session.backend_pid, true);
        worker.agreement.note_server(worker.name, Some(inserter.session.place.clone()));
        Self { worker, backend_pid: inserter.session.backend_pid }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.worker.connected.fetch_sub(1, Ordering::Relaxed);
        self.worker.agreement.watch_backend(self.backend_pid, false);
        self.worker.agreement.note_server(self.worker.name, None);
    }
}

impl Worker {
    async fn run(mut self) {
        let mut reconnect = Reconnect::new("writer");
        loop {
            let reason = match self.connect().await {
                Ok(inserter) => self.write_on(&inserter, &mut reconnect).await,
                Err(reason) => reason,
            };
            self.troubles.note(&reason, false);
            self.queue.drop_expired();
            reconnect.failed(&reason).await;
        }
    }

    async fn connect(&self) -> Result<Inserter, String> {
        let session = self.connector.connect("writer").await.map_err(|error| error.to_string())?;
        let place = session.place.clone();
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let statement_timeout = milliseconds(2 * self.commit_timeout + STATEMENT_MARGIN);
        let lock_timeout = milliseconds(self.commit_timeout);
        let metrics = self.metrics.clone();
        let preparing = Inserter::new(session, &statement_timeout, &lock_timeout, metrics);
        let inserter = match timeout(PREPARE_PATIENCE, preparing).await {
            Ok(prepared) => {
                prepared.map_err(|error| format!("preparing its statement: {}", explain(&error)))?
            }
            // Someone has the table locked, perhaps.
            Err(_) => {
                return Err(format!(
                    "its statement was not prepared within {} s",
                    PREPARE_PATIENCE.as_secs()
                ));
            }
        };
        if !self.agreement.settles_on(&inserter.epoch, DISPUTE_PATIENCE).await {
            return Err(self.disagreement(&inserter.epoch, &place));
        }
        Ok(inserter)
    }

    fn disagreement(&self, epoch: &Epoch, place: &str) -> String {
        match (self.agreement.other(), self.agreement.epoch()) {
            (Some(other), _) => format!(
                "the connection leads to {place}, and a new one to another primary at {}: nothing \
                     is \
                 acknowledged until all lead to one",
                other.place
            ),
            (None, Some(tail)) if tail == *epoch => {
                "new events are not being read, so that nobody knows whether this is still the \
                     right server: nothing is \
                 acknowledged until they are"
                    .to_owned()
            }
            (None, Some(tail)) => format!(
                "the connection leads to {place}, whose epoch is {epoch}, and events are read \
                     where it is \
                 {tail}: nothing is acknowledged until both are one server"
            ),
            (None, None) => "the log has not been read yet".to_owned(),
        }
    }

    /// Writes what comes until the connection is of no use; says why.
    async fn write_on(&mut self, inserter: &Inserter, reconnect: &mut Reconnect) -> String {
        let mut failing = Backoff::new(FAILING_BASE, FAILING_CAP);
        let mut failures = 0;
        let worker = &*self;
        let held = Held::new(worker, inserter);
        let mut good = None;
        let reason = loop {
            let idle =
                if worker.troubles.now().is_some() { failing.next_wait() } else { IDLE_CHECK };
            let outcome = tokio::select! {
                submissions = worker.queue.take(MAX_STATEMENT_ROWS, MAX_STATEMENT_BYTES) => {
                    worker.write(inserter, submissions, &mut good).await
                }
                () = inserter.session.ended() => break "the connection was lost".to_owned(),
                () = worker.agreement.departs_from(&inserter.epoch) => {
                    break worker.disagreement(&inserter.epoch, &inserter.session.place);
                }
                () = tokio::time::sleep(idle) => worker.check(inserter, good.as_ref()).await,
            };
            match outcome {
                Ok(()) => {
                    worker.troubles.clear();
                    reconnect.succeeded();
                    failing.reset();
                    failures = 0;
                }
                Err(Stop::Lost(reason)) => break reason,
                Err(Stop::Failing(reason)) => {
                    worker.troubles.note(&reason, true);
                    worker.queue.drop_expired();
                    failures += 1;
                    if failures >= FAILURES_A_CONNECTION {
                        break reason;
                    }
                    reconnect.say(&reason);
                    failing.wait().await;
                }
            }
        };
        drop(held);
        if good.is_some() {
            self.last_good = good;
        }
        reason
    }

    /// Whether anything could be stored, when nothing waits to be.
    async fn check(
        &self,
        inserter: &Inserter,
        good: Option<&(ClassId, StudentId)>,
    ) -> Result<(), Stop> {
        let names = good
            .or(self.last_good.as_ref())
            .map(|(class, student)| (class.as_str(), student.as_str()));
        let trying = async {
            if self.troubles.now().is_none_or(|trouble| !trouble.of_statement) {
                // A statement without events: it meets the triggers and the standby, and stores
                // nothing.
                return match inserter.store(&[], names).await.stop {
                    Some(stop) => Err(stop),
                    None => Ok(()),
                };
            }
            inserter.control(names).await.map_err(|error| Stop::of(&error))
        };
        self.supervise(inserter, trying).await?
    }

    /// Writes one statement's worth, and answers.
    async fn write(
        &self,
        inserter: &Inserter,
        submissions: Vec<Submission>,
        good: &mut Option<(ClassId, StudentId)>,
    ) -> Result<(), Stop> {
        // Whatever becomes of this future, what it took is answered or goes back.
        let mut taken = Taken { queue: &self.queue, submissions };
        let events: Vec<&Event> =
            taken.submissions.iter().flat_map(|submission| &submission.events).collect();
        let names = good.as_ref().or(self.last_good.as_ref());
        let names = names.map(|(class, student)| (class.as_str(), student.as_str()));
        let stored = self.supervise(inserter, inserter.store(&events, names)).await?;
        if let Some(epoch) = &stored.epoch
            && !self.agreement.settles_on(epoch, DISPUTE_PATIENCE).await
        {
            return Err(Stop::Lost(self.disagreement(epoch, &inserter.session.place)));
        }
        let is_stored = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Stored(_)));
        if good.is_none()
            && let Some(at) = stored.outcomes.iter().position(is_stored)
        {
            *good = Some((events[at].class.clone(), events[at].student.clone()));
        }
        drop(events);
        let epoch = stored.epoch.unwrap_or_else(|| inserter.epoch.clone());
        let mut outcomes = stored.outcomes.into_iter();
        let mut undecided = Vec::new();
        for submission in taken.submissions.drain(..) {
            let own: Option<Vec<Outcome>> =
                outcomes.by_ref().take(submission.events.len()).collect();
            match own {
                // The client may have gone; its events are stored all the same.
                Some(outcomes) => {
                    let _ = submission.reply.send(Written { outcomes, epoch: epoch.clone() });
                }
                None => undecided.push(submission),
            }
        }
        taken.submissions = undecided;
        stored.stop.map_or(Ok(()), Err)
    }

    /// Waits for `work` on the connection. It is never cancelled: a commit may be waiting for a
    /// standby, and to cancel that would leave the events committed here and nowhere else. It is
    /// left behind when the connection is gone, when it leads to a server that is no longer the
    /// one, or when the server knows nothing of it.
    async fn supervise<T>(
        &self,
        inserter: &Inserter,
        work: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        let mut work = std::pin::pin!(work);
        let began = Instant::now();
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = self.agreement.departs_from(&inserter.epoch) => {
                    return Err(Stop::Lost(self.disagreement(&inserter.epoch, &inserter.session.place)));
                }
                () = tokio::time::sleep(SILENCE) => {}
            }
            let seen = self.agreement.backend(
                inserter.session.backend_pid,
                &inserter.epoch,
                began + SILENCE,
            );
            match seen {
                Some(Some(backend)) if backend.wait == STANDBY_WAIT => {
                    self.troubles.note(NO_STANDBY, false)
                }
                Some(Some(backend)) if backend.state == "idle" && backend.in_state >= SILENCE => {
                    // What was sent has not arrived, or the answer has not.
                    return Err(Stop::Lost(
                        "the server has ended the statement and the answer does not arrive"
                            .to_owned(),
                    ));
                }
                Some(None) => {
                    return Err(Stop::Lost(
                        "the server does not know the connection any more".to_owned(),
                    ));
                }
                Some(Some(_)) | None => {}
            }
        }
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
