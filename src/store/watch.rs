//! What the listener asks the database now and then: whether the doorbell gets through, and who is
//! in the writers' way.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Error;

use super::session::Session;

/// What the name of every session of a relay's begins with.
const OWN_APPLICATION: &str = "progress-relay ";

/// Who keeps the ordering lock, or the table, from writers for longer than this is named.
pub const LONG_WAIT: Duration = Duration::from_secs(5);

/// Whoever blocks a session that waits for the ordering lock or for the table, does not itself wait
/// for that lock, and has been in its transaction for over `$1` seconds. Not by how long is waited:
/// a writer gives up after --commit-timeout, and begins anew. The lock's key is
/// progress_event_lock()'s, in sql/.
const BLOCKER: &str = "\
    WITH waiting AS (\
        SELECT DISTINCT pid, locktype FROM pg_locks \
        WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = \
        current_database()) \
          AND (locktype = 'advisory' AND classid = 1886545776 OR relation = \
          'progress_event'::regclass)) \
    SELECT blocker.pid, coalesce(blocker.application_name, ''), coalesce(blocker.state, ''), \
           extract(epoch FROM clock_timestamp() - blocker.xact_start)::float8, \
           blocker.usename IS NOT DISTINCT FROM current_user, coalesce(blocker.wait_event, ''), \
           coalesce(extract(epoch FROM clock_timestamp() - blocker.state_change), 0)::float8 \
    FROM waiting CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking(pid) \
    JOIN pg_stat_activity AS blocker ON blocker.pid = blocking.pid \
    WHERE blocker.xact_start < clock_timestamp() - make_interval(secs => $1) \
      AND NOT EXISTS (SELECT FROM waiting AS queued WHERE queued.pid = blocker.pid AND \
      queued.locktype = 'advisory') \
    ORDER BY blocker.xact_start LIMIT 1";

/// Who holds what the writers wait for.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocker {
    /// Its process, as `pg_terminate_backend` knows it.
    pub pid: i32,
    /// What it calls itself.
    pub application: String,
    /// `active`, `idle in transaction` …
    pub state: String,
    /// How long its transaction has been open.
    pub open: Duration,
    /// Whether it is of this relay's own role.
    own_role: bool,
    /// What it waits for, as `pg_stat_activity` has it.
    wait: String,
    /// How long its state has been what it is.
    in_state: Duration,
}

impl Blocker {
    /// Whether it is another relay's session that waits for its relay to take an answer, or to send
    /// the rest of a statement: that process is frozen, or its machine is gone.
    pub fn is_frozen_relay(&self) -> bool {
        self.own_role
            && self.application.starts_with(OWN_APPLICATION)
            && matches!(&*self.wait, "ClientWrite" | "ClientRead")
            && self.in_state >= LONG_WAIT
    }

    /// Whether it is a relay's own commit that waits for a synchronous standby: it holds the lock
    /// as long as the standby is away, and nobody must end it.
    pub fn waits_for_standby(&self) -> bool {
        self.wait == "SyncRep"
    }

    /// The cause, in words that do not change from look to look.
    pub fn cause(&self) -> String {
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

/// Ends a session of the relay's own role.
pub async fn terminate(session: &Session, pid: i32) -> Result<(), Error> {
    session.client.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.map(|_| ())
}

/// Whether the server works on a statement of this process.
pub async fn is_active(session: &Session, pid: i32) -> Result<bool, Error> {
    const ACTIVE: &str = "SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
    Ok(session.client.query_opt(ACTIVE, &[&pid]).await?.is_some())
}

/// Whoever keeps a writer waiting, in a transaction of over [`LONG_WAIT`], if anybody.
pub async fn blocker(session: &Session) -> Result<Option<Blocker>, Error> {
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
