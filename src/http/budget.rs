//! The memory that large answers may take up together, from when they are made until their peers
//! have taken them.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::state::SharedReservation;

/// Bytes that every answer has outside of the budget: a few large answers that their peers do not
/// take must not keep small ones out.
const FREE_ANSWER: usize = 16 * 1024;
/// The budget's unit in bytes.
const UNIT: usize = 1024;
/// How long a client is told to wait when there is no room.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bytes that the large answers of all requests may take up together. One that is larger than all
/// of it takes all of it.
#[derive(Debug, Clone)]
pub(crate) struct AnswerBudget {
    units: Arc<Semaphore>,
    all: usize,
}

/// The part of the budget that an answer has.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: AnswerBudget,
    permit: Option<OwnedSemaphorePermit>,
    reserved: usize,
}

/// The part of the budget that an answer has which several requests share: a request that comes
/// while the answer is being sent takes no more of the budget.
pub(super) type Shared = SharedReservation;

/// Bytes with their part of the budget, which is given back when the last copy of the bytes is
/// dropped: hyper may hold them for long after it has asked for the body's end.
struct Held<P> {
    bytes: Bytes,
    _permit: P,
}

impl<P> AsRef<[u8]> for Held<P> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AnswerBudget {
    /// A budget of about so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let all = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { units: Arc::new(Semaphore::new(all)), all }
    }

    /// Units that an answer of so many bytes takes.
    fn units(&self, bytes: usize) -> usize {
        bytes.saturating_sub(FREE_ANSWER).div_ceil(UNIT).min(self.all)
    }

    fn take(&self, units: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.units).try_acquire_many_owned(u32::try_from(units).ok()?).ok()
    }

    /// For an answer that grows.
    pub(super) fn begin(&self) -> Reservation {
        Reservation { budget: self.clone(), permit: None, reserved: 0 }
    }

    /// An answer that other requests may be sending, too.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) fn share(&self, bytes: Bytes, shared: &Shared) -> Result<Bytes, Problem> {
        let units = self.units(bytes.len());
        if units == 0 {
            return Ok(bytes);
        }
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let permit = match shared.upgrade() {
            Some(permit) => permit,
            None => Arc::new(self.take(units).ok_or_else(full)?),
        };
        *shared = Arc::downgrade(&permit);
        Ok(Bytes::from_owner(Held { bytes, _permit: permit }))
    }
}

impl Reservation {
    /// Whether there is room for so many bytes, all in all.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let units = self.budget.units(bytes);
        let Some(more) = units.checked_sub(self.reserved).filter(|&more| more > 0) else {
            return true;
        };
        let Some(permit) = self.budget.take(more) else { return false };
        self.reserved = units;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        true
    }

    /// The answer, to be sent. The part of the reservation that it does not need is given back.
    pub(super) fn hold(mut self, bytes: Bytes) -> Bytes {
        let Some(mut permit) = self.permit.take() else { return bytes };
        drop(permit.split(self.reserved.saturating_sub(self.budget.units(bytes.len()))));
        Bytes::from_owner(Held { bytes, _permit: permit })
    }
}

/// There is no room for an answer.
pub(super) fn full() -> Problem {
    Problem::unavailable(
        "too-many-large-answers",
        "too many large answers are being sent at once",
        "others have not taken theirs yet; ask again (--answer-bytes)",
        RETRY_AFTER,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(kib: usize) -> Bytes {
        vec![0; kib * 1024].into()
    }

    fn hold(budget: &AnswerBudget, kib: usize) -> Option<Bytes> {
        let mut room = budget.begin();
        room.grow(kib * 1024).then(|| room.hold(bytes(kib)))
    }

    #[test]
    fn a_reservation_is_given_back_with_the_last_copy() {
        let budget = AnswerBudget::new(100 * 1024);
        let first = hold(&budget, 100).expect("room");
        assert!(hold(&budget, 33).is_none());
        assert!(hold(&budget, 16).is_some(), "small ones are free");
        let copy = first.clone();
        drop(first);
        assert!(hold(&budget, 33).is_none(), "it is still being sent");
        drop(copy);
        assert!(hold(&budget, 33).is_some());
        assert!(hold(&budget, 1_000).is_some(), "it takes all there is");
    }

    #[test]
    fn a_shared_answer_counts_once() {
        let (budget, shared) = (AnswerBudget::new(100 * 1024), Shared::default());
        let first = budget.share(bytes(100), &shared).expect("room");
        let second = budget.share(bytes(100), &shared).expect("the same");
        assert!(hold(&budget, 33).is_none());
        drop(first);
        assert!(hold(&budget, 33).is_none());
        drop(second);
        assert_eq!(budget.units.available_permits(), 100);
    }

    #[test]
    fn an_answer_grows_while_there_is_room() {
        let budget = AnswerBudget::new(100 * 1024);
        let mut growing = budget.begin();
        assert!(growing.grow(10 * 1024) && growing.grow(66 * 1024));
        let other = hold(&budget, 56).expect("room");
        assert!(!growing.grow(77 * 1024));
        drop(other);
        assert!(growing.grow(77 * 1024));
        let held = growing.hold(bytes(26));
        assert_eq!(budget.units.available_permits(), 90);
        drop(held);
        assert_eq!(budget.units.available_permits(), 100);
    }
}
