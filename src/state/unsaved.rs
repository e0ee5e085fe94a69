//! What the keeper of the snapshots needs of the classes in use, and which of them are let go.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::classes::Classes;
use super::live::{Live, Unsaved};
use super::slot::{Phase, Slot};
use crate::event::{ClassId, Epoch};

/// A class that nobody asked for in this long is let go.
const IDLE: Duration = Duration::from_secs(600);
/// Bytes of classes in memory, as they are reckoned, beyond which the one not asked for longest is let go.
const MAX_BYTES: usize = 512 << 20;

impl Classes {
    fn slots(&self) -> Vec<(ClassId, Arc<Slot>)> {
        self.lock().classes.iter().map(|(class, slot)| (class.clone(), Arc::clone(slot))).collect()
    }

    /// From now on this replica writes snapshots, or no longer.
    pub(super) fn remember(&self, on: bool) {
        self.lock().remembers = on;
        for (_, slot) in self.slots() {
            slot.live(|live| live.remember(on));
        }
    }

    /// Classes of which something came that no snapshot is known to hold.
    pub(super) fn heard(&self) -> Vec<ClassId> {
        self.lock().heard.keys().cloned().collect()
    }

    /// Whether something came for a class that is not among those heard of, since this was last asked.
    pub(super) fn take_missed(&self) -> bool {
        std::mem::take(&mut self.lock().missed)
    }

    /// The classes with something that their snapshot does not hold.
    pub(super) fn unsaved(&self) -> Vec<ClassId> {
        let unsaved = |slot: &Slot| slot.live(|live| live.is_unsaved()) == Some(true);
        self.slots().into_iter().filter(|(_, slot)| unsaved(slot)).map(|(class, _)| class).collect()
    }

    /// What the class's snapshot does not hold; it is taken for written.
    pub(super) fn take_unsaved(&self, class: &ClassId, epoch: &Epoch) -> Option<Unsaved> {
        let (slot, head) = {
            let inner = self.lock();
            (Arc::clone(inner.classes.get(class)?), inner.head)
        };
        slot.live(|live| live.take_unsaved(epoch, head)).flatten()
    }

    /// It is written.
    pub(super) fn saved(&self, class: &ClassId, unsaved: &Unsaved) {
        let slot = {
            let mut inner = self.lock();
            if inner.heard.get(class).is_some_and(|&last| last <= unsaved.last_event) {
                inner.heard.remove(class);
            }
            inner.classes.get(class).cloned()
        };
        if let Some(slot) = slot {
            slot.live(|live| live.saved(unsaved.last_event));
            // While this replica writes it, it is in use.
            slot.touch();
        }
    }

    /// Lets go of the classes that nobody asked for in long, and of more while they take up too much.
    pub(super) fn sweep(&self) {
        let remembers = self.lock().remembers;
        let mut kept: Vec<(Instant, usize, ClassId, Arc<Slot>)> = Vec::new();
        for (class, slot) in self.slots() {
            let look = |live: &mut Live| {
                live.forget_pictures();
                (live.state.weight(), remembers && live.is_unsaved())
            };
            // Whatever is not written yet stays.
            if let Some((weight, false)) = slot.live(look) {
                kept.push((slot.used(), weight, class, slot));
            }
        }
        kept.sort_unstable_by_key(|&(used, ..)| used);
        let mut bytes: usize = kept.iter().map(|&(_, weight, ..)| weight).sum();
        for (used, weight, class, slot) in kept {
            if used.elapsed() < IDLE && bytes <= MAX_BYTES {
                break;
            }
            bytes -= weight;
            // First out of reach: whoever asks now brings it in anew. What is folded into it meanwhile was heard of.
            self.lock().classes.retain(|other, place| *other != class || !Arc::ptr_eq(place, &slot));
            *slot.lock() = Phase::Gone;
            tracing::debug!(%class, "a class is let go");
        }
    }
}
