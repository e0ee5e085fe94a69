//! The election of the leader, and its term.
//!
//! # The election
//!
//! Each replica opens a session for the housekeeping and asks for an advisory lock on it, once a
//! second. The one that gets the lock is the leader. The lock belongs to the session, and the
//! leader writes on that session alone: if the session ends, the lock is free,
//! and nothing that the former leader still sends can be written. So there is never more than one.
//!
//! A leader whose process is killed loses its session at once. One whose machine vanished, or whose
//! process froze, is silent: the server ends its session 15 s after its last message
//! (`database/election` has the settings). A living leader must therefore not be silent for that
//! long. While it rests, or loads classes over other connections, it sends an empty statement every
//! few seconds ([`keep_alive_during`]).
//!
//! The server has no limit for a leader that froze in the middle of a message. A replica that waits
//! to be elected looks for it once a second, and ends its session when the server has waited for it
//! in the same state for [`LEADER_SILENCE`]. In any case another replica leads within 20 s.
//!
//! The leader must read the same server as the tail. Its session is used only while its epoch is
//! the one that all connections of this replica have agreed on.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::audit_retention::AuditRetention;
use super::config::Config;
use super::snapshots::SnapshotWriter;
use super::task::{
    DEADLINE, Disconnected, KEEPALIVE, SHORT_DEADLINE, Task, TaskError, keep_alive,
    keep_alive_during, limited,
};
use crate::agreement::{Agreement, DISPUTE_PATIENCE};
use crate::backoff::Reconnect;
use crate::database::{
    Connector, LEADER_SILENCE, Session, SilentLeader, current_epoch, end_silent_leader, explain,
    prepare_leader, silent_leader, try_elect,
};
use crate::state::Classes;
use crate::supervisor::Supervisor;

/// The name of the leader's connection, in the log and in `pg_stat_activity`.
const CONNECTION: &str = "state";
/// How often a replica that is not elected asks for the lock again.
const ELECTION_TICK: Duration = Duration::from_secs(1);

/// The tasks of the leader's. A new task is a line here.
///
/// # Errors
/// If the session cannot be prepared for a task.
async fn begin_tasks(
    session: &Session,
    classes: &Classes,
    config: Config,
) -> Result<Vec<Box<dyn Task>>, tokio_postgres::Error> {
    Ok(vec![
        Box::new(SnapshotWriter::begin(session, classes.clone()).await?),
        Box::new(AuditRetention::new(config.audit_retain)),
    ])
}

/// The housekeeping of this replica: it takes part in the election, and leads if it is elected.
#[derive(Debug)]
pub(crate) struct Housekeeping {
    task: AbortOnDropHandle<()>,
    stop: CancellationToken,
}

impl Housekeeping {
    /// Starts it. `connector` must lead to the primary directly, without a pooler.
    pub(crate) fn start(
        connector: &Connector,
        agreement: &Agreement,
        classes: &Classes,
        config: Config,
        supervisor: &Supervisor,
    ) -> Self {
        let stop = CancellationToken::new();
        let candidate = Candidate {
            connector: connector.clone(),
            agreement: agreement.clone(),
            classes: classes.clone(),
            config,
            stop: stop.clone(),
        };
        Self { task: supervisor.spawn("housekeeping", candidate.run()), stop }
    }

    /// Stops it. If this replica leads, the tasks that want to run once more first; it ends at
    /// `deadline` in any case.
    pub(crate) async fn stop(self, deadline: Instant) {
        self.stop.cancel();
        let _ = tokio::time::timeout_at(deadline, self.task).await;
    }
}

/// A replica that takes part in the election.
struct Candidate {
    connector: Connector,
    agreement: Agreement,
    classes: Classes,
    config: Config,
    stop: CancellationToken,
}

impl Candidate {
    async fn run(self) {
        let mut reconnect = Reconnect::new(CONNECTION);
        while !self.stop.is_cancelled() {
            let ended = match self.connector.connect(CONNECTION).await {
                Ok(session) => self.use_while_agreed(session, &mut reconnect).await,
                Err(error) => Err(Disconnected(error.to_string())),
            };
            self.agreement.note_server(CONNECTION, None);
            let Err(Disconnected(reason)) = ended else { return };
            tokio::select! {
                () = reconnect.failed(&reason) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Uses the session for as long as it leads to the server that the tail reads. `Ok`: it was
    /// stopped.
    async fn use_while_agreed(
        &self,
        session: Session,
        reconnect: &mut Reconnect,
    ) -> Result<(), Disconnected> {
        let server = session.server.clone();
        let epoch = within(current_epoch(&session.client)).await?;
        if !self.agreement.settles_on(&epoch, DISPUTE_PATIENCE).await {
            return Err(Disconnected(format!(
                "the connection leads to {server}, and events are read from another server"
            )));
        }
        self.agreement.note_server(CONNECTION, Some(server));
        tokio::select! {
            ended = self.take_part(session, reconnect) => ended,
            () = self.agreement.departs_from(&epoch) => {
                Err(Disconnected("the log goes on in another epoch".to_owned()))
            }
        }
    }

    async fn take_part(
        &self,
        mut session: Session,
        reconnect: &mut Reconnect,
    ) -> Result<(), Disconnected> {
        within(prepare_leader(&session)).await?;
        let mut silence = Silence::default();
        while !within(try_elect(&session)).await? {
            reconnect.succeeded();
            within(silence.look(&session)).await?;
            tokio::select! {
                () = tokio::time::sleep(ELECTION_TICK) => {}
                () = session.ended() => return Err(Disconnected::lost()),
                () = self.stop.cancelled() => return Ok(()),
            }
        }
        tracing::info!("this replica is the leader: it does the housekeeping");
        let beginning = timeout(DEADLINE, begin_tasks(&session, &self.classes, self.config)).await;
        let tasks = beginning.map_err(|_| Disconnected::late(DEADLINE))?;
        let tasks = tasks.map_err(|error| Disconnected(explain(&error)))?;
        self.lead(&mut session, tasks, reconnect).await
    }

    /// Runs the tasks, each when it is due, until the session ends. `Ok`: it was stopped.
    async fn lead(
        &self,
        session: &mut Session,
        mut tasks: Vec<Box<dyn Task>>,
        reconnect: &mut Reconnect,
    ) -> Result<(), Disconnected> {
        let mut due = vec![Instant::now(); tasks.len()];
        let mut last_keepalive = Instant::now();
        loop {
            let is_stopping = self.stop.is_cancelled();
            for (task, due) in tasks.iter_mut().zip(&mut due) {
                let runs = if is_stopping { task.runs_at_stop() } else { *due <= Instant::now() };
                if !runs {
                    continue;
                }
                let began = Instant::now();
                match task.run(session).await {
                    // The election alone is no success: a leader that can write nothing must not be
                    // elected again at once.
                    Ok(()) => reconnect.succeeded(),
                    Err(TaskError::TryLater) => {
                        tracing::debug!(task = task.name(), "the task is tried again later");
                    }
                    Err(TaskError::Disconnected(disconnected)) => return Err(disconnected),
                }
                *due = (began + task.period()).max(Instant::now() + task.rest());
            }
            if is_stopping {
                return Ok(());
            }
            // A task with nothing to do sends nothing, and each rest may be shorter than KEEPALIVE:
            // many of them in a row would be a silence.
            if last_keepalive.elapsed() >= KEEPALIVE {
                unless_disconnected(keep_alive(session).await)?;
                last_keepalive = Instant::now();
            }
            let next = due.iter().min().copied().unwrap_or_else(Instant::now);
            let resting = async {
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = self.stop.cancelled() => {}
                }
            };
            unless_disconnected(keep_alive_during(session, resting).await)?;
        }
    }
}

/// A failure between the tasks, of which only the end of the session matters.
fn unless_disconnected(outcome: Result<(), TaskError>) -> Result<(), Disconnected> {
    match outcome {
        Err(TaskError::Disconnected(disconnected)) => Err(disconnected),
        Ok(()) | Err(TaskError::TryLater) => Ok(()),
    }
}

/// The answer of the database in the election, where any failure is the session's end.
async fn within<T>(
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Disconnected> {
    limited(SHORT_DEADLINE, statement).await.map_err(|error| match error {
        TaskError::Disconnected(disconnected) => disconnected,
        TaskError::TryLater => Disconnected("a lock was held for too long".to_owned()),
    })
}

/// A leader that the server waits for, as seen by a replica that waits to be elected.
#[derive(Default)]
struct Silence {
    leader: Option<(SilentLeader, Instant)>,
}

impl Silence {
    /// Looks for a leader that the server waits for. Ends its session if the server has waited for
    /// it, in the same state, for [`LEADER_SILENCE`].
    async fn look(&mut self, session: &Session) -> Result<(), tokio_postgres::Error> {
        let found = silent_leader(session).await?;
        self.leader = match (found, self.leader.take()) {
            (Some(found), Some((before, since))) if found == before => Some((before, since)),
            (Some(found), _) => Some((found, Instant::now())),
            (None, _) => None,
        };
        if let Some((leader, since)) = &self.leader
            && since.elapsed() >= LEADER_SILENCE
        {
            if end_silent_leader(session, leader).await? {
                tracing::warn!(
                    pid = leader.pid,
                    silence = ?since.elapsed(),
                    "the leader is silent: its session is ended, so that another replica can lead"
                );
            }
            self.leader = None;
        }
        Ok(())
    }
}
