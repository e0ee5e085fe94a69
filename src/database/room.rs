//! The server's room for connections.
//!
//! A role, a database and a server each limit their connections. Where the room is short, writing
//! and listening come first: a reader of history can wait, a student's event cannot. So when one
//! of the other sessions is refused for want of room, the pools of readers close what lies idle,
//! and make nothing new for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Error;

use super::session::Session;

/// How long readers give way after a session was refused. The session is tried again sooner.
const GIVE_WAY: Duration = Duration::from_secs(5);

/// The sessions that a replica needs for writing and listening: two writers, the tail, the
/// listener, the prover, the leader, and the prober, which connects once a second.
pub(crate) const ESSENTIAL_SESSIONS: usize = 7;

/// Closes the idle connections of a pool.
type CloseIdle = Box<dyn Fn() + Send + Sync>;

/// The room as one replica has met it. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Room {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    refused_at: Option<Instant>,
    pools: Vec<CloseIdle>,
}

/// The connections that the server lets this role have.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// The limits by what sets them, the smallest first.
    limits: Vec<(i64, String)>,
}

impl Allowance {
    /// Asks the server.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(crate) async fn ask(session: &Session) -> Result<Self, Error> {
        // The reservation for other roles exists from PostgreSQL 16 on. A superuser has no limit
        // but the server's.
        const LIMITS: &str = "\
            SELECT name, allowed FROM ( \
                SELECT format('the CONNECTION LIMIT of role %I', rolname) AS name, \
                    rolconnlimit::bigint AS allowed \
                FROM pg_roles WHERE rolname = session_user AND NOT rolsuper \
              UNION ALL SELECT format('the CONNECTION LIMIT of database %I', datname), \
                    datconnlimit FROM pg_database \
                WHERE datname = current_database() \
                  AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) \
              UNION ALL SELECT 'max_connections less the reserved ones', \
                    current_setting('max_connections')::bigint \
                    - (SELECT sum(setting::bigint) FROM pg_settings WHERE name IN \
                       ('superuser_reserved_connections', 'reserved_connections')) \
            ) AS limits WHERE allowed >= 0 ORDER BY allowed";
        let mut limits = Vec::new();
        for row in session.client.query(LIMITS, &[]).await? {
            limits.push((row.try_get(1)?, row.try_get(0)?));
        }
        Ok(Self { limits })
    }

    /// Why the role cannot have `needed` connections at a time, if it cannot.
    pub(crate) fn falls_short_of(&self, needed: usize) -> Option<String> {
        let (allowed, name) = self.limits.first()?;
        let is_short = usize::try_from(*allowed).is_ok_and(|allowed| allowed < needed);
        is_short.then(|| format!("{name} is {allowed}"))
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("is_short", &self.is_short()).finish()
    }
}

impl Room {
    /// Registers a pool of readers by the function that closes its idle connections.
    pub(super) fn register(&self, close_idle: impl Fn() + Send + Sync + 'static) {
        self.lock().pools.push(Box::new(close_idle));
    }

    /// A session other than a reader's was refused for want of room: readers give way.
    pub(super) fn give_way(&self) {
        let mut shared = self.lock();
        shared.refused_at = Some(Instant::now());
        for close_idle in &shared.pools {
            close_idle();
        }
    }

    /// Whether readers must leave the room to the other sessions.
    pub(super) fn is_short(&self) -> bool {
        self.lock().refused_at.is_some_and(|at| at.elapsed() < GIVE_WAY)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
