//! How the relay goes away: it announces the end, then closes connections.
//!
//! Announced: `/readyz` is 503 and every answer has `Connection: close`, so that a balancer and
//! its clients go elsewhere while all requests are still served. Closed: no more connections are
//! accepted, and sessions end one after the other, spread over the drain's time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Registry;

/// With fewer subscribers than this the drain's time is not used up: so few cannot come back as a
/// stampede.
const CROWD: usize = 20;
/// The part of the drain over which sessions end; the rest is for their closing handshakes.
const SPREAD: f64 = 0.8;

/// How far the drain has come, and the sessions that it ends. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    announced: CancellationToken,
    closing: CancellationToken,
    over: Duration,
    sessions: TaskTracker,
}

impl Drain {
    /// A drain that ends sessions over this long.
    pub(crate) fn new(over: Duration) -> Self {
        Self {
            announced: CancellationToken::new(),
            closing: CancellationToken::new(),
            over,
            sessions: TaskTracker::new(),
        }
    }

    /// `/readyz` is 503 from now on; everything else goes on.
    pub(crate) fn announce(&self) {
        self.announced.cancel();
    }

    /// No more connections are accepted, and sessions end.
    pub(crate) fn close(&self) {
        self.announced.cancel();
        self.closing.cancel();
        self.sessions.close();
    }

    /// Waits until every session has ended; only after [`Drain::close`].
    pub(crate) async fn sessions_ended(&self) {
        self.sessions.wait().await;
    }

    /// Whether the drain was announced.
    pub(crate) fn is_draining(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// Whether it was closed.
    pub(in crate::http) fn is_closed(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Cancelled by [`Drain::close`].
    pub(in crate::http) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Registers the metrics of the drain and its sessions.
    pub(in crate::http) fn register(&self, registry: &mut Registry) {
        let sessions = self.sessions.clone();
        registry.gauge("relay_sessions", "Subscribers.", move || sessions.len() as i64);
        let announced = self.announced.clone();
        registry.gauge("relay_draining", "Whether the relay is going away.", move || {
            i64::from(announced.is_cancelled())
        });
    }

    /// The sessions' tasks.
    pub(crate) fn sessions(&self) -> &TaskTracker {
        &self.sessions
    }

    /// How long a session may stay once the relay closes: a random part of the drain, so that not
    /// all subscribers connect elsewhere at one instant.
    pub(in crate::http) fn session_delay(&self) -> Duration {
        let crowd = self.sessions.len().min(CROWD) as f64 / CROWD as f64;
        self.over.mul_f64(SPREAD * crowd * fastrand::f64())
    }
}
