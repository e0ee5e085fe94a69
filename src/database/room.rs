//! The server's room for connections.
//!
//! A role, a database and a server each limit their connections. Where the room is short, writing
//! and listening come first: a reader of history can wait, a student's event cannot. So when one
//! of the other sessions is refused for want of room, the pools of readers close what lies idle,
//! and make nothing new for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long readers give way after a session was refused. The session is tried again sooner.
const GIVE_WAY: Duration = Duration::from_secs(5);

/// The sessions that a replica holds for writing and listening: two writers, the tail, the
/// listener, the prover and the leader.
pub(crate) const HELD_SESSIONS: usize = 6;
/// The same and the prober, which connects once a second.
pub(crate) const ESSENTIAL_SESSIONS: usize = HELD_SESSIONS + 1;

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
