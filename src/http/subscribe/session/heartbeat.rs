//! Frames that are due although no event came: marks and pings by the clock, pongs on request.
//!
//! A subscriber that hears nothing cannot know whether nothing happened or the connection is dead,
//! so silence is bounded: at each tick a mark is due if nothing was sent since the last one. At
//! every second tick a ping goes out, whose answer is a sign of life of the peer. A peer without
//! one for [`PEER_TIMEOUT`] ends the session: see `server::timeouts`.

use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::messages::Close;
use super::outbox::Dropped;
use crate::http::server::timeouts::{LastActivity, PEER_TIMEOUT};

/// Half of the interval between pings. A mark is due at a tick if nothing was sent since the last
/// one, so that silence stays under two of them.
pub(super) const TICK: Duration = Duration::from_millis(12_250);
/// Pings go out at every second tick: 24.5 s.
const TICKS_PER_PING: u32 = 2;

/// The frames that are due to the peer, and whether the peer is alive.
pub(super) struct Heartbeat {
    activity: LastActivity,
    ticks: Interval,
    tick: u32,
    sent_since_tick: bool,
    pong_due: bool,
    mark_due: bool,
}

impl Heartbeat {
    /// For a peer whose signs of life `activity` has.
    pub(super) fn new(activity: LastActivity) -> Self {
        // The first tick is somewhere within the interval: sessions that began together do not ping
        // together.
        let first = Instant::now() + TICK.mul_f64(fastrand::f64());
        let mut ticks = tokio::time::interval_at(first, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { activity, ticks, tick: 0, sent_since_tick: false, pong_due: false, mark_due: false }
    }

    /// A frame was sent: no mark is due at the next tick.
    pub(super) fn note_sent(&mut self) {
        self.sent_since_tick = true;
    }

    /// The peer asks for a pong.
    pub(super) fn request_pong(&mut self) {
        self.pong_due = true;
    }

    /// Pongs and marks that were dropped unsent are due once more.
    pub(super) fn repeat(&mut self, dropped: &Dropped) {
        self.mark_due |= dropped.mark;
        self.pong_due |= dropped.pong;
    }

    /// Whether a frame is due.
    pub(super) fn is_due(&self) -> bool {
        self.pong_due || self.mark_due
    }

    /// Whether a pong was due; it is not any more.
    pub(super) fn take_pong(&mut self) -> bool {
        std::mem::take(&mut self.pong_due)
    }

    /// Whether a mark was due; it is not any more.
    pub(super) fn take_mark(&mut self) -> bool {
        std::mem::take(&mut self.mark_due)
    }

    /// Follows the clock, and registers to be woken at the next tick. Returns whether a ping is to
    /// be sent; an error if the peer has given no sign of life for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<bool, Close> {
        let mut ping = false;
        while self.ticks.poll_tick(cx).is_ready() {
            if self.activity.idle() >= PEER_TIMEOUT {
                return Err(Close::Silent);
            }
            self.mark_due |= !std::mem::take(&mut self.sent_since_tick);
            self.tick = self.tick.wrapping_add(1);
            ping |= self.tick.is_multiple_of(TICKS_PER_PING);
        }
        Ok(ping)
    }
}
