//! When a session has to end although its peer is well: the relay drains, or the caller's
//! credential ends.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::messages::Close;
use crate::access::{Access, CallerEnd};
use crate::http::gate::Admitted;
use crate::http::server::drain::Drain;

/// Waits for the drain, and then for this session's turn to end: after a random part of the drain's
/// time. Waits for the end of the caller's credential too.
pub(in crate::http) struct Leave {
    drain: Drain,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    turn: Option<Pin<Box<Sleep>>>,
    /// `None` for a caller without a credential, which has no end.
    caller_end: Option<BoxFuture<'static, CallerEnd>>,
}

impl Leave {
    pub(in crate::http::subscribe) fn new(
        drain: &Drain,
        access: &Access,
        admitted: Admitted,
    ) -> Self {
        let closing = Box::pin(drain.closing().clone().cancelled_owned());
        let caller_end = admitted.caller.zip(admitted.credential).map(|(caller, credential)| {
            let access = access.clone();
            async move { access.ended(&caller, &credential).await }.boxed()
        });
        Self { drain: drain.clone(), closing, turn: None, caller_end }
    }

    /// An error once the session is to end. Registers to be woken.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), Close> {
        if let Some(end) = &mut self.caller_end
            && let Poll::Ready(end) = end.poll_unpin(cx)
        {
            return Err(match end {
                CallerEnd::Expired => Close::Expired,
                CallerEnd::Revoked => Close::Unauthorized,
                CallerEnd::Unavailable => Close::TryAgainLater,
            });
        }
        let drain = &self.drain;
        let turn = match &mut self.turn {
            Some(turn) => turn,
            None if self.closing.as_mut().poll(cx).is_pending() => return Ok(()),
            None => self.turn.insert(Box::pin(tokio::time::sleep(drain.session_delay()))),
        };
        if turn.as_mut().poll(cx).is_ready() { Err(Close::GoingAway) } else { Ok(()) }
    }
}
