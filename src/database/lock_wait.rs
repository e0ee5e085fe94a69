//! The sessions that keep the writers waiting for a lock, for the listener's look at the database
//! once a second.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Error;

use super::session::Session;

/// The beginning of the name of every session that a relay opens.
const OWN_APPLICATION: &str = "progress-relay ";

/// A session that keeps writers waiting for the ordering lock or for the table, in a transaction
/// that is older than this, is reported.
const LONG_WAIT: Duration = Duration::from_secs(5);

/// A session that this many looks have not seen to block has ended to do so. A writer gives up
/// after --commit-timeout and waits again, so a look may find nobody who waits.
const LOOKS_TO_FORGET: u64 = 2;
/// The sessions that one look finds, at most. The ones that wait for nothing themselves come first.
const MAX_FOUND: i64 = 16;

/// Finds the sessions that block another one which waits for the ordering lock or for the table,
/// and do not themselves wait for that lock. The length of the wait itself tells nothing, since a
/// writer gives up after --commit-timeout and waits again. The lock's key is that of
/// progress_event_lock() in sql/.
///
/// PostgreSQL hides state, age and wait of other roles' sessions from a role that lacks
/// pg_read_all_stats. Their pid, role and application can be seen. Some servers hide the views
/// pg_locks and pg_stat_activity; the functions of which they are made can be called.
const BLOCKERS: &str = "\
    WITH waiting AS (\
        SELECT DISTINCT pid, locktype FROM pg_lock_status() \
        WHERE NOT granted \
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
          AND (locktype = 'advisory' AND classid = 1886545776 AND objsubid = 2 \
                 AND objid = ('progress_event'::regclass::oid::bigint - 2147483648 \
                     & 4294967295)::oid \
               OR relation = 'progress_event'::regclass)), \
    blocking AS (\
        SELECT DISTINCT unnest(pg_blocking_pids(pid)) AS pid FROM waiting) \
    SELECT blocker.pid, coalesce(pg_get_userbyid(blocker.usesysid), ''), \
           coalesce(blocker.application_name, ''), \
           coalesce(blocker.state, ''), \
           extract(epoch FROM clock_timestamp() - blocker.xact_start)::float8, \
           pg_get_userbyid(blocker.usesysid) IS NOT DISTINCT FROM current_user, \
           coalesce(blocker.wait_event, ''), \
           coalesce(extract(epoch FROM clock_timestamp() - blocker.state_change), 0)::float8 \
    FROM blocking JOIN pg_stat_get_activity(NULL) AS blocker USING (pid) \
    WHERE NOT EXISTS (SELECT FROM waiting AS queued \
                      WHERE queued.pid = blocker.pid AND queued.locktype = 'advisory') \
    ORDER BY EXISTS (SELECT FROM waiting AS queued WHERE queued.pid = blocker.pid), \
             blocker.xact_start, blocker.pid LIMIT $1";

/// A session that holds a lock for which the writers wait.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blocker {
    /// The server process, as `pg_terminate_backend` takes it.
    pub(crate) pid: i32,
    /// The session's role.
    role: String,
    /// The session's `application_name`.
    pub(crate) application: String,
    /// The session's state: `active`, `idle in transaction` …; empty if it is hidden.
    state: String,
    open: Age,
    /// Whether its role is this relay's role.
    own_role: bool,
    /// The event that it waits for, as `pg_stat_activity` has it; empty if it is hidden.
    wait: String,
    /// How long it has been in this state.
    in_state: Duration,
}

/// How long a transaction has been open.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Age {
    Known(Duration),
    /// It is hidden from the relay's role, which has seen the session block for this long.
    Hidden(Duration),
}

impl Age {
    fn at_least(self) -> Duration {
        match self {
            Self::Known(age) | Self::Hidden(age) => age,
        }
    }
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
                self.open.at_least().as_secs()
            );
        }
        if let Age::Hidden(seen) = self.open {
            return write!(
                f,
                "events wait for a lock of the database session of role {:?}, application {:?}, \
                 pid {}; its transaction's age is hidden from this role, and it was seen to block \
                 for {} s; end it, or, as a superuser: SELECT pg_terminate_backend({})",
                self.role,
                self.application,
                self.pid,
                seen.as_secs(),
                self.pid
            );
        }
        write!(
            f,
            "events wait for a lock of the database session with pid {} ({:?}, {}), whose \
             transaction has been open for {} s; end it, or: SELECT pg_terminate_backend({})",
            self.pid,
            self.application,
            self.state,
            self.open.at_least().as_secs(),
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
    const ACTIVE: &str = "SELECT FROM pg_stat_get_activity($1) WHERE state = 'active'";
    Ok(session.client.query_opt(ACTIVE, &[&pid]).await?.is_some())
}

/// Looks for sessions that keep writers waiting, and remembers those whose age is hidden.
#[derive(Debug, Default)]
pub(crate) struct BlockerWatch {
    /// The number of looks.
    looks: u64,
    /// At most [`MAX_FOUND`] of each of the latest looks.
    hidden: Vec<SeenBlocking>,
}

#[derive(Debug)]
struct SeenBlocking {
    pid: i32,
    role: String,
    first: Instant,
    /// The number of the latest look that has found it.
    look: u64,
}

impl BlockerWatch {
    /// The session that keeps a writer waiting, in a transaction that is older than [`LONG_WAIT`],
    /// if there is one. Where the transaction's age is hidden, the time counts from the first of
    /// consecutive looks that have found the session.
    pub(crate) async fn look(&mut self, session: &Session) -> Result<Option<Blocker>, Error> {
        let rows = session.client.query(BLOCKERS, &[&MAX_FOUND]).await?;
        self.looks += 1;
        self.hidden.retain(|seen| self.looks - seen.look <= LOOKS_TO_FORGET);
        let mut blocking = None;
        for row in rows {
            let (pid, role): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
            let open = match row.try_get::<_, Option<f64>>(4)? {
                Some(age) => Age::Known(Duration::try_from_secs_f64(age).unwrap_or_default()),
                None => Age::Hidden(self.seen_for(pid, &role)),
            };
            if blocking.is_some() || open.at_least() < LONG_WAIT {
                continue;
            }
            blocking = Some(Blocker {
                pid,
                role,
                application: row.try_get(2)?,
                state: row.try_get(3)?,
                open,
                own_role: row.try_get(5)?,
                wait: row.try_get(6)?,
                in_state: Duration::try_from_secs_f64(row.try_get(7)?).unwrap_or_default(),
            });
        }
        Ok(blocking)
    }

    /// Notes that a session is seen to block, and returns for how long it was.
    fn seen_for(&mut self, pid: i32, role: &str) -> Duration {
        let same = |seen: &&mut SeenBlocking| seen.pid == pid && seen.role == role;
        if let Some(seen) = self.hidden.iter_mut().find(same) {
            seen.look = self.looks;
            return seen.first.elapsed();
        }
        let first = Instant::now();
        self.hidden.push(SeenBlocking { pid, role: role.to_owned(), first, look: self.looks });
        Duration::ZERO
    }
}
