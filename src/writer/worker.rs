//! The workers of the writer. Each has a connection, and puts the events that wait into one
//! statement after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::metrics::WriterMetrics;
use super::queue::{Outcome, Queue, Submission, Written};
use super::statement::{Inserter, Stop};
use super::trouble::Troubles;
use crate::agreement::{Agreement, DISPUTE_PATIENCE};
use crate::backoff::{Backoff, Reconnect};
use crate::database::{Connector, explain};
use crate::event::{ClassId, Epoch, Event, StudentId};

/// Bounds of one statement. A request that is larger goes alone.
const MAX_STATEMENT_ROWS: usize = 2_000;
const MAX_STATEMENT_BYTES: usize = 8 * 1024 * 1024;

/// How long a new connection may take to be set up.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer than a request waits a statement may run on the server. Waits for locks and for
/// a standby do not count. A statement that takes longer has met a fault.
const STATEMENT_MARGIN: Duration = Duration::from_secs(10);
/// After this long without an answer the worker looks at the state of its backend.
const SILENCE: Duration = Duration::from_secs(1);
/// After this long readiness and answers say that the server does not answer.
const UNANSWERED: Duration = Duration::from_secs(3);
/// The wait event of a commit that waits for a synchronous standby.
const STANDBY_WAIT: &str = "SyncRep";
/// The cause that readiness and answers name meanwhile.
const NO_STANDBY: &str = "commits wait for a synchronous standby, and none confirms them (wait \
     event SyncRep); start the standby, or change synchronous_standby_names";

/// The wait before a server that cannot store is asked again, and the longest such wait.
const FAILING_BASE: Duration = Duration::from_millis(50);
const FAILING_CAP: Duration = Duration::from_secs(1);
/// After so many failures in a row on one connection the worker makes another, since the session
/// may be at fault.
const FAILURES_A_CONNECTION: u32 = 3;
/// A worker that has had nothing to write for this long looks whether it still could.
const IDLE_CHECK: Duration = Duration::from_secs(5);

/// Writes the queue's events on one connection.
pub(super) struct Worker {
    pub(super) name: &'static str,
    pub(super) queue: Arc<Queue>,
    pub(super) connector: Connector,
    pub(super) agreement: Agreement,
    pub(super) commit_timeout: Duration,
    /// The workers that have a connection.
    pub(super) connected: Arc<AtomicUsize>,
    pub(super) troubles: Troubles,
    pub(super) metrics: WriterMetrics,
    /// The class and student of an event that was stored lately. The control row takes their
    /// names, so that an operator's rules about classes let it pass.
    pub(super) last_good: Option<(ClassId, StudentId)>,
}

/// A connection while a worker has it: it counts as connected, and is registered with the
/// agreement, so that the prober watches its backend.
struct RegisteredConnection<'a> {
    worker: &'a Worker,
    backend_pid: i32,
}

impl<'a> RegisteredConnection<'a> {
    fn new(worker: &'a Worker, inserter: &Inserter) -> Self {
        worker.connected.fetch_add(1, Ordering::Relaxed);
        worker.agreement.watch_backend(inserter.session.backend_pid, true);
        worker.agreement.note_server(worker.name, Some(inserter.session.server.clone()));
        Self { worker, backend_pid: inserter.session.backend_pid }
    }
}

impl Drop for RegisteredConnection<'_> {
    fn drop(&mut self) {
        self.worker.connected.fetch_sub(1, Ordering::Relaxed);
        self.worker.agreement.watch_backend(self.backend_pid, false);
        self.worker.agreement.note_server(self.worker.name, None);
    }
}

impl Worker {
    pub(super) async fn run(mut self) {
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
        let server = session.server.clone();
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let statement_timeout = milliseconds(2 * self.commit_timeout + STATEMENT_MARGIN);
        let lock_timeout = milliseconds(self.commit_timeout);
        let metrics = self.metrics.clone();
        let preparing = Inserter::new(session, &statement_timeout, &lock_timeout, metrics);
        let inserter = match timeout(PREPARE_TIMEOUT, preparing).await {
            Ok(prepared) => {
                prepared.map_err(|error| format!("preparing its statement: {}", explain(&error)))?
            }
            // Another session may have locked the table.
            Err(_) => {
                return Err(format!(
                    "its statement was not prepared within {} s",
                    PREPARE_TIMEOUT.as_secs()
                ));
            }
        };
        if !self.agreement.settles_on(&inserter.epoch, DISPUTE_PATIENCE).await {
            return Err(self.disagreement(&inserter.epoch, &server));
        }
        Ok(inserter)
    }

    fn disagreement(&self, epoch: &Epoch, server: &str) -> String {
        match (self.agreement.other(), self.agreement.epoch()) {
            (Some(other), _) => format!(
                "the writer's connection leads to {server}, and a new one to another primary at \
                 {}: nothing is acknowledged until all lead to one server",
                other.server
            ),
            (None, Some(tail)) if tail == *epoch => {
                "the tail reads no events now, so it is not known whether this is still the right \
                 server: nothing is acknowledged until the tail reads again"
                    .to_owned()
            }
            (None, Some(tail)) => format!(
                "the writer's connection leads to {server}, whose epoch is {epoch}, and the tail \
                 reads where it is {tail}: nothing is acknowledged until both lead to one server"
            ),
            (None, None) => "the log has not been read yet".to_owned(),
        }
    }

    /// Writes the queue's events until the connection is of no use. Returns why it is not.
    async fn write_on(&mut self, inserter: &Inserter, reconnect: &mut Reconnect) -> String {
        let mut failing = Backoff::new(FAILING_BASE, FAILING_CAP);
        let mut failures = 0;
        let worker = &*self;
        let registered = RegisteredConnection::new(worker, inserter);
        let mut good = None;
        let reason = loop {
            let idle =
                if worker.troubles.now().is_some() { failing.next_wait() } else { IDLE_CHECK };
            let outcome = tokio::select! {
                // In this order: a statement on a connection whose epoch is over is sent again on
                // the next one, and its events then count as duplicates.
                biased;
                () = inserter.session.ended() => break "the connection was lost".to_owned(),
                () = worker.agreement.departs_from(&inserter.epoch) => {
                    break worker.disagreement(&inserter.epoch, &inserter.session.server);
                }
                submissions = worker.queue.take(MAX_STATEMENT_ROWS, MAX_STATEMENT_BYTES) => {
                    worker.write(inserter, submissions, &mut good).await
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
                    reconnect.statement_failed(&reason);
                    failing.wait().await;
                }
            }
        };
        drop(registered);
        if good.is_some() {
            self.last_good = good;
        }
        reason
    }

    /// Looks whether the server could store events, while the queue is empty.
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
                // A statement without events passes the triggers and waits for the standby, and
                // stores nothing.
                return match inserter.store(&[], names).await.stop {
                    Some(stop) => Err(stop),
                    None => Ok(()),
                };
            }
            inserter.control(names).await.map_err(|error| Stop::of(&error))
        };
        self.supervise(inserter, trying).await?
    }

    /// Writes the events of one statement, and answers their requests.
    async fn write(
        &self,
        inserter: &Inserter,
        submissions: Vec<Submission>,
        good: &mut Option<(ClassId, StudentId)>,
    ) -> Result<(), Stop> {
        // If this future is dropped, the submissions that were not answered go back to the queue.
        let mut taken = Taken { queue: &self.queue, submissions };
        let events: Vec<&Event> =
            taken.submissions.iter().flat_map(|submission| &submission.events).collect();
        let names = good.as_ref().or(self.last_good.as_ref());
        let names = names.map(|(class, student)| (class.as_str(), student.as_str()));
        let stored = self.supervise(inserter, inserter.store(&events, names)).await?;
        if let Some(epoch) = &stored.epoch
            && !self.agreement.settles_on(epoch, DISPUTE_PATIENCE).await
        {
            return Err(Stop::Lost(self.disagreement(epoch, &inserter.session.server)));
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
                // The receiver is gone if the client is; its events are stored all the same.
                Some(outcomes) => {
                    let _ = submission.reply.send(Written { outcomes, epoch: epoch.clone() });
                }
                None => undecided.push(submission),
            }
        }
        taken.submissions = undecided;
        stored.stop.map_or(Ok(()), Err)
    }

    /// Waits for `work` on the connection, and never cancels it.
    ///
    /// The commit of a statement may be waiting for a synchronous standby. A cancellation would end
    /// that wait and leave the events committed on the primary alone, where a failover loses them.
    /// So a statement that takes long is watched from outside: the prober reads the state of its
    /// backend, and this gives up waiting only in three cases. The connection is gone; the replica
    /// has moved to another server; or the server says that it has ended the statement, or has no
    /// such session. In each case the events go back to the queue, and are sent again: an event's
    /// identity makes that safe.
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
                    let server = &inserter.session.server;
                    return Err(Stop::Lost(self.disagreement(&inserter.epoch, server)));
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
                    // Either the statement or its answer was lost on the way.
                    return Err(Stop::Lost(
                        "the server is idle, and the answer to the statement does not arrive"
                            .to_owned(),
                    ));
                }
                Some(None) => {
                    return Err(Stop::Lost(
                        "the server no longer has the writer's session".to_owned(),
                    ));
                }
                // Nothing is heard of the backend either.
                None if began.elapsed() >= UNANSWERED => {
                    self.troubles.note("the server does not answer the writer's statement", false)
                }
                Some(Some(_)) | None => {}
            }
        }
    }
}

/// The submissions of one statement. Those that were not answered go back to the queue.
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
