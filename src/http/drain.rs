//! Going away: first said, then done.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// With fewer subscribers than this the drain's time is not used up: they cannot come back as a
/// stampede.
const CROWD: usize = 20;
/// The part of the drain over which sockets are closed; the rest is for the farewells.
const SPREAD: f64 = 0.8;

/// How far the relay's going away has come, and the sessions that it takes along. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Drain {
    announced: CancellationToken,
    closing: CancellationToken,
    over: Duration,
    sessions: TaskTracker,
}

impl Drain {
    /// Sockets will be closed over this long.
    pub fn new(over: Duration) -> Self {
        Self {
            announced: CancellationToken::new(),
            closing: CancellationToken::new(),
            over,
            sessions: TaskTracker::new(),
        }
    }

    /// Readiness says no from now on; everything else goes on.
    pub fn announce(&self) {
        self.announced.cancel();
    }

    /// No more connections; sessions go.
    pub fn close(&self) {
        self.announced.cancel();
        self.closing.cancel();
        self.sessions.close();
    }

    /// Waits until every session has gone; only after [`Drain::close`].
    pub async fn gone(&self) {
        self.sessions.wait().await;
    }

    /// Whether it was announced.
    pub fn is_draining(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// Cancelled when it is done, not only said.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// The sessions' tasks.
    pub(super) fn sessions(&self) -> &TaskTracker {
        &self.sessions
    }

    /// How long a session may stay once the relay closes: a random part of the drain, so that not
    /// all connect elsewhere at one instant.
    pub(super) fn stay(&self) -> Duration {
        let crowd = self.sessions.len().min(CROWD) as f64 / CROWD as f64;
        self.over.mul_f64(SPREAD * crowd * fastrand::f64())
    }
}
