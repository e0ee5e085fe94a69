//! The classes as the leader's snapshot writer sees them: the classes to write, round by round.
//! `housekeeping/snapshots` has the rule that it follows.

use super::class_table::Round;
use super::classes::Classes;
use super::evict;
use super::live_class::{LiveClass, TakenChanges, UnsavedChanges};
use super::load_error::LoadError;
use super::slot::Slot;
use crate::event::{ClassId, EventId};

impl Classes {
    /// From now on classes track their changes, or no longer.
    pub(crate) fn track_changes(&self, on: bool) {
        self.table.track_changes(on);
    }

    /// Begins a round: takes the position, the dirty classes, and the flag that there may be more
    /// of them, all of one moment. `None` until the tail has read the table.
    pub(crate) fn begin_round(&self) -> Option<Round> {
        self.table.begin_round()
    }

    /// Ends a round in which everything was written: its dirty classes whose snapshots hold every
    /// event are clean.
    pub(crate) fn end_round(&self, round: &Round) {
        for class in &round.dirty {
            let Some((slot, position)) = self.table.slot_in_round(class, round) else {
                continue;
            };
            let saved = |live: &mut LiveClass| (!live.is_unsaved()).then(|| live.through(position));
            if let Some(through) = slot.live(saved).flatten() {
                self.table.mark_clean_in_round(round, class, through);
            }
        }
    }

    /// Whether the classes that were in memory when the round began were not dropped since.
    pub(crate) fn is_undisturbed(&self, round: &Round) -> bool {
        self.table.is_undisturbed(round)
    }

    /// # Errors
    /// If the class cannot be loaded now.
    pub(crate) async fn load(&self, class: &ClassId) -> Result<(), LoadError> {
        self.loader.try_load(class).await.map(drop)
    }

    /// Whether the classes in memory take up all the bytes that they may.
    pub(crate) fn is_memory_full(&self) -> bool {
        self.table.memory().is_full()
    }

    /// Evicts classes that are not asked for.
    pub(crate) fn sweep(&self) {
        evict::sweep(&self.table);
    }

    /// The snapshots of these classes do not hold all of their events, although this replica may
    /// have written them.
    pub(crate) fn mark_unsaved<'a>(&self, classes: impl Iterator<Item = &'a ClassId>) {
        for class in classes {
            if let Some(slot) = self.table.slot(class) {
                slot.live(LiveClass::mark_unsaved);
            }
        }
    }

    /// The classes in memory with events that their snapshots do not hold.
    pub(crate) fn unsaved(&self) -> Vec<ClassId> {
        let is_unsaved = |slot: &Slot| slot.live(|live| live.is_unsaved()) == Some(true);
        let slots = self.table.slots().into_iter();
        slots.filter(|(_, slot)| is_unsaved(slot)).map(|(class, _)| class).collect()
    }

    /// Takes the changes that the class's snapshot does not hold, which goes up to
    /// `snapshot_through` now.
    pub(crate) fn take_changes(
        &self,
        class: &ClassId,
        round: &Round,
        snapshot_through: Option<EventId>,
    ) -> TakenChanges {
        let Some((slot, position)) = self.table.slot_in_round(class, round) else {
            return TakenChanges::NotInMemory;
        };
        slot.live(|live| live.take_changes(snapshot_through, position))
            .unwrap_or(TakenChanges::NotInMemory)
    }

    /// The changes are in the class's snapshot.
    pub(crate) fn saved(&self, class: &ClassId, round: &Round, unsaved: &UnsavedChanges) {
        self.table.mark_clean_in_round(round, class, unsaved.through);
        if let Some((slot, _)) = self.table.slot_in_round(class, round) {
            slot.live(|live| live.saved(unsaved));
            // A class that events come for is in use while this replica writes it.
            slot.touch();
        }
    }
}
