//! The receipts of one dashboard: its steps from cursor to cursor, and the gaps that resets
//! announced.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Position;

/// A step from one cursor to the next without a reset between them.
pub(super) struct Step {
    pub(super) index: usize,
    pub(super) epoch: Arc<str>,
    pub(super) after: i64,
    pub(super) through: i64,
}

/// The gap that a `reset` announces: from the last cursor before it to the cursor in it.
pub(super) struct AnnouncedGap {
    pub(super) at: Duration,
    pub(super) from: Option<Position>,
    pub(super) to: Position,
}

impl AnnouncedGap {
    pub(super) fn changes_epoch(&self) -> bool {
        self.from.as_ref().is_none_or(|from| from.epoch != self.to.epoch)
    }

    /// Whether an event with these positions was stored before the reset was made.
    pub(super) fn went_over(&self, positions: &HashSet<Position>) -> bool {
        positions
            .iter()
            .any(|position| position.epoch == self.to.epoch && position.id <= self.to.id)
    }

    /// Whether an event with these positions lies in the gap.
    pub(super) fn covers(&self, positions: &HashSet<Position>) -> bool {
        let of = |epoch: &Arc<str>| positions.iter().find(|position| position.epoch == *epoch);
        let from = self.from.as_ref();
        let beyond = from.and_then(|from| Some(of(&from.epoch)?.id > from.id));
        let before = of(&self.to.epoch).map(|position| position.id <= self.to.id);
        if self.changes_epoch() {
            // The event is known in neither epoch: the reset is all that can announce it.
            beyond.or(before).unwrap_or(true)
        } else {
            beyond.unwrap_or(false) && before.unwrap_or(false)
        }
    }
}

/// Everything that one dashboard received.
#[derive(Default)]
pub(super) struct Dashboard {
    /// The index of its first `live` in the history.
    pub(super) began: Option<usize>,
    pub(super) position: Option<Position>,
    pub(super) steps: Vec<Step>,
    pub(super) announced_gaps: Vec<AnnouncedGap>,
    /// The marks that it received, by position.
    pub(super) got: HashMap<Position, i64>,
    /// The positions of each mark that it received.
    pub(super) positions: HashMap<i64, Vec<Position>>,
}
