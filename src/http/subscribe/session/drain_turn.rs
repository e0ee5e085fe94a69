//! The turn of a session to end while the relay drains: after a random part of the drain's time.

use std::pin::Pin;
use std::task::Context;

use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::messages::Close;
use crate::http::server::drain::Drain;

/// Waits for the drain, and then for this session's turn to end.
pub(super) struct DrainTurn {
    drain: Drain,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    leave: Option<Pin<Box<Sleep>>>,
}

impl DrainTurn {
    pub(super) fn new(drain: &Drain) -> Self {
        let closing = Box::pin(drain.closing().clone().cancelled_owned());
        Self { drain: drain.clone(), closing, leave: None }
    }

    /// An error once the session is to end. Registers to be woken.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), Close> {
        let drain = &self.drain;
        let leave = match &mut self.leave {
            Some(leave) => leave,
            None if self.closing.as_mut().poll(cx).is_pending() => return Ok(()),
            None => self.leave.insert(Box::pin(tokio::time::sleep(drain.session_delay()))),
        };
        if leave.as_mut().poll(cx).is_ready() { Err(Close::GoingAway) } else { Ok(()) }
    }
}
