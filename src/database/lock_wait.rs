//! The sessions that keep the writers waiting for a lock, for the listener's look at the database
//! once a second.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Error;

use super::session::Session;

/// The beginning of the name of every session that a relay opens.
const OWN_APPLICATION: &str = "progress-relay ";

/// A session that keeps writers waiting for the ordering lock or for the table, in a transaction
/// that is older than this, is reported.
const LONG_WAIT: Duration = Duration::from_secs(5);

/// Finds the session that blocks another one which waits for the ordering lock or for the table,
/// does not itself wait for that lock, and has been in its transaction for over `$1` seconds. The
/// length of the wait itself tells nothing, since a writer gives up after --commit-timeout and
/// waits again. The lock's key is that of progress_event_lock() in sql/.
const BLOCKER: &str = "\
    WITH waiting AS (\
        SELECT DISTINCT pid, locktype FROM pg_locks \
        WHERE NOT granted \
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
          AND (locktype = 'advisory' AND classid = 1886545776 AND objsubid = 2 \
                 AND objid = ('progress_event'::regclass::oid::bigint - 2147483648 \
                     & 4294967295)::oid \
               OR relation = 'progress_event'::regclass)) \
    SELECT blocker.pid, coalesce(blocker.application_name, ''), coalesce(blocker.state, ''), \
           extract(epoch FROM clock_timestamp() - blocker.xact_start)::float8, \
           blocker.usename IS NOT DISTINCT FROM current_user, coalesce(blocker.wait_event, ''), \
           coalesce(extract(epoch FROM clock_timestamp() - blocker.state_change), 0)::float8 \
    FROM waiting CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking(pid) \
    JOIN pg_stat_activity AS blocker ON blocker.pid = blocking.pid \
    WHERE blocker.xact_start < clock_timestamp() - make_interval(secs => $1) \
      AND NOT EXISTS (SELECT FROM waiting AS queued \
                      WHERE queued.pid = blocker.pid AND queued.locktype = 'advisory') \
    ORDER BY blocker.xact_start LIMIT 1";

/// A session that holds a lock for which the writers wait.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blocker {
    /// The server process, as `pg_terminate_backend` takes it.
    pub(crate) pid: i32,
    /// The session's `application_name`.
    pub(crate) application: String,
    /// The session's state: `active`, `idle in transaction` …
    state: String,
    /// How long its transaction has been open.
    open: Duration,
    /// Whether its role is this relay's role.
    own_role: bool,
    /// The event that it waits for, as `pg_stat_activity` has it.
    wait: String,
    /// How long it has been in this state.
    in_state: Duration,
}

impl Blocker {
    /// Whether the session is a relay's, and the server waits for that relay to receive an answer
    /// or to send the rest of a statement: its process is frozen, or its machine is gone.
    pub(crate) fn is_frozen_relay(&self) -> bool {
        self.own_role
            && self.application.starts_with(OWN_APPLICATION)
            && matches!(&*self.wait, "ClientWrite" | "ClientRead")
            && self.in_state >= LONG_WAIT
    }

    /// Whether the session's commit waits for a synchronous standby. It holds the lock as long as
    /// the standby is away, and must not be ended: its events may be stored already.
    fn waits_for_standby(&self) -> bool {
        self.wait == "SyncRep"
    }

    /// The cause, in words that do not change from one look to the next.
    pub(crate) fn cause(&self) -> String {
        format!("blocker {} {}", self.pid, self.wait)
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.waits_for_standby() {
            return write!(
                f,
                "commits wait for a synchronous standby, and none confirms them (pid {}, for {} \
                 s); start the standby, or change synchronous_standby_names",
                self.pid,
                self.open.as_secs()
            );
        }
        write!(
            f,
            "events wait for a lock of the database session with pid {} ({:?}, {}), whose \
             transaction has been open for {} s; end it, or: SELECT pg_terminate_backend({})",
            self.pid,
            self.application,
            self.state,
            self.open.as_secs(),
            self.pid
        )
    }
}

/// Ends a session whose role is the relay's.
pub(crate) async fn terminate(session: &Session, pid: i32) -> Result<(), Error> {
    session.client.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.map(|_| ())
}

/// Whether the server process `pid` is executing a statement.
pub(crate) async fn is_active(session: &Session, pid: i32) -> Result<bool, Error> {
    const ACTIVE: &str = "SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
    Ok(session.client.query_opt(ACTIVE, &[&pid]).await?.is_some())
}

/// The session that keeps a writer waiting, in a transaction that is older than [`LONG_WAIT`], if
/// there is one.
pub(crate) async fn blocker(session: &Session) -> Result<Option<Blocker>, Error> {
    let row = session.client.query_opt(BLOCKER, &[&LONG_WAIT.as_secs_f64()]).await?;
    row.map(|row| {
        Ok(Blocker {
            pid: row.try_get(0)?,
            application: row.try_get(1)?,
            state: row.try_get(2)?,
            open: Duration::try_from_secs_f64(row.try_get(3)?).unwrap_or_default(),
            own_role: row.try_get(4)?,
            wait: row.try_get(5)?,
            in_state: Duration::try_from_secs_f64(row.try_get(6)?).unwrap_or_default(),
        })
    })
    .transpose()
}
