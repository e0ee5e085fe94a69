//! What the listener asks the database now and then: whether the doorbell gets through, and who is in the writers' way.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Error;

use super::CHANNEL;
use super::connect::Session;

/// Who keeps the ordering lock, or the table, from writers for longer than this is named.
pub const LONG_WAIT: Duration = Duration::from_secs(5);

/// Whoever blocks a session that waits for the ordering lock or for the table, does not itself wait for that lock, and has been
/// in its transaction for over `$1` seconds. Not by how long is waited: a writer gives up after --commit-timeout, and begins anew.
/// The lock's key is progress_event_lock()'s, in sql/.
const BLOCKER: &str = "\
    WITH waiting AS (\
        SELECT DISTINCT pid, locktype FROM pg_locks \
        WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
          AND (locktype = 'advisory' AND classid = 1886545776 OR relation = 'progress_event'::regclass)) \
    SELECT blocker.pid, coalesce(blocker.application_name, ''), coalesce(blocker.state, ''), \
           extract(epoch FROM clock_timestamp() - blocker.xact_start)::float8 \
    FROM waiting CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking(pid) \
    JOIN pg_stat_activity AS blocker ON blocker.pid = blocking.pid \
    WHERE blocker.xact_start < clock_timestamp() - make_interval(secs => $1) \
      AND NOT EXISTS (SELECT FROM waiting AS queued WHERE queued.pid = blocker.pid AND queued.locktype = 'advisory') \
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
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "events wait for a lock of the database session with pid {} ({:?}, {}), whose transaction has been open for {} s; \
             end it, or: \
             SELECT pg_terminate_backend({})",
            self.pid,
            self.application,
            self.state,
            self.open.as_secs(),
            self.pid
        )
    }
}

/// Rings with `payload`; the relay's own bells have none.
pub async fn notify(session: &Session, payload: &str) -> Result<(), Error> {
    session.client.execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &payload]).await.map(|_| ())
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
        })
    })
    .transpose()
}
