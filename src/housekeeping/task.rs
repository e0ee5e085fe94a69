//! A task of the leader's, and how it uses the leader's session.

use std::pin::pin;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::timeout;

use crate::database::{Session, explain, is_lock_timeout, send_keepalive};

/// Longest the database may take for a scan of the table, or for one transaction's work.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
/// Longest it may take for anything else. Beyond this, the session is given up.
pub(super) const SHORT_DEADLINE: Duration = Duration::from_secs(11);
/// How often the leader sends something while it has no statement to run. The server ends the
/// session of a leader that is silent for 15 s.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(3);

/// Something that the leader does once in a while. A task begins with the leader's term, and is
/// dropped at its end, however the term ends.
pub(super) trait Task: Send {
    /// The task's name, for log lines.
    fn name(&self) -> &'static str;

    /// The time from the beginning of a run to the beginning of the next.
    fn period(&self) -> Duration;

    /// The least rest after the last run, for a task that must not load the database all the time.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the task runs once more when the relay stops.
    fn runs_at_stop(&self) -> bool {
        false
    }

    /// Runs the task once. All that it writes, it must write on `session`, whose end is the end of
    /// the election. It must not leave the session silent for long: see [`keep_alive_during`].
    ///
    /// # Errors
    /// If the task could not be done now, or the session is of no use any more.
    fn run<'a>(&'a mut self, session: &'a mut Session) -> BoxFuture<'a, Result<(), TaskError>>;
}

/// Why a task was not done.
#[derive(Debug)]
pub(super) enum TaskError {
    /// Something is in the way that will pass: the task is tried again after its period.
    TryLater,
    /// The session is of no use any more.
    Disconnected(Disconnected),
}

/// Why a session is of no use any more.
#[derive(Debug)]
pub(super) struct Disconnected(pub(super) String);

impl From<Disconnected> for TaskError {
    fn from(disconnected: Disconnected) -> Self {
        Self::Disconnected(disconnected)
    }
}

impl Disconnected {
    /// The server has closed the connection, or it is broken.
    pub(super) fn lost() -> Self {
        Self("the connection was lost".to_owned())
    }

    pub(super) fn late(deadline: Duration) -> Self {
        Self(format!("the database took over {} s", deadline.as_secs()))
    }
}

impl TaskError {
    /// A statement of a task's has failed.
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        if is_lock_timeout(error) {
            // Someone deletes events, or renews the nonce, and takes long.
            Self::TryLater
        } else {
            Self::Disconnected(Disconnected(explain(error)))
        }
    }
}

/// The answer of the database, if it comes in time.
pub(super) async fn limited<T>(
    deadline: Duration,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, TaskError> {
    let answer = timeout(deadline, statement).await.map_err(|_| Disconnected::late(deadline))?;
    answer.map_err(|error| TaskError::of(&error))
}

/// Waits for `work`, which runs no statement on this session, and meanwhile sends something on it
/// every [`KEEPALIVE`]. Otherwise the server would take the leader for dead, and end its session.
pub(super) async fn keep_alive_during<T>(
    session: &Session,
    work: impl Future<Output = T>,
) -> Result<T, TaskError> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(KEEPALIVE) => {}
            () = session.ended() => return Err(Disconnected::lost().into()),
        }
        keep_alive(session).await?;
    }
}

/// Sends something on the session, so that the server does not take the leader for dead.
pub(super) async fn keep_alive(session: &Session) -> Result<(), TaskError> {
    limited(SHORT_DEADLINE, send_keepalive(session)).await
}
