//! Follows the table: after each ring of the doorbell the tail reads the events behind the log's
//! head, once for the whole replica, and hands them to the classes in use and to the log.
//!
//! Rings that come during a read are answered by the next read. The tail also reads once a second
//! without a ring, so that a ring that is lost delays events and loses none. A caller that must
//! know the end of the log *now* asks for [`Tail::position`].
//!
//! - `handle`: the handle that other parts hold
//! - `follower`: the task that reads
//! - `discontinuity`: the cases in which the log does not simply go on

mod discontinuity;
mod follower;
mod handle;

use tokio_util::task::AbortOnDropHandle;

use crate::database::Connector;
use crate::supervisor::Supervisor;
use follower::Follower;

pub(crate) use follower::TailParts;
pub(crate) use handle::{Position, Tail};

impl Tail {
    /// Starts to follow the table, from its end when the tail first reaches it.
    pub(crate) fn start(
        connector: &Connector,
        parts: TailParts,
        supervisor: &Supervisor,
    ) -> (Self, AbortOnDropHandle<()>) {
        let tail = Self::at(parts.log.position());
        let follower = Follower::new(connector.clone(), parts, &tail);
        let task = supervisor.spawn("tail", follower.run());
        (tail, task)
    }
}
