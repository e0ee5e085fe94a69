//! The table of the classes in memory, and of the classes whose snapshots may lack events.
//!
//! # The dirty set
//!
//! The leader has to write a snapshot of every class that events came for, whether or not the class
//! is in memory. So each event marks its class as dirty, with the event's id. A class is clean
//! again when a snapshot is known to hold its events up to that id. The set has a bound: an
//! operator may import events of any number of classes at once. Beyond [`MAX_DIRTY`] classes, only
//! a flag is set (`dirty_overflowed`), and the leader then finds the classes by a scan of
//! the events. The flag is also set when classes are dropped from memory: the class table does not
//! know which events came before.
//!
//! # The lock
//!
//! The class table's lock is held for a few lines, and never while a class's lock is waited for. A
//! task that holds a class's lock may take the class table's; a task that holds the class table's
//! lock must not take a class's. So the tail never waits for a large class in order to look one up.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::slot::{Memory, Slot, drop_on_another_thread};
use crate::database::LogVersion;
use crate::event::{ClassId, Cursor, Epoch, EventId};

/// Classes that may be dirty at a time. Of more, the leader scans the table.
pub(super) const MAX_DIRTY: usize = 50_000;

/// The classes in memory.
#[derive(Debug)]
pub(super) struct ClassTable {
    inner: Mutex<Inner>,
    memory: Arc<Memory>,
    /// [`Inner::resets`], for those who wait for the tail to notice another version of the log.
    resets: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    /// `None` until the tail has read the table.
    epoch: Option<Epoch>,
    /// How many statements have deleted events, as far as the tail knows.
    deletions: i64,
    /// How often classes were dropped from memory since the log had changed.
    resets: u64,
    /// Every event up to here was given to its class.
    position: EventId,
    slots: HashMap<ClassId, Arc<Slot>>,
    /// Whether this replica writes snapshots, for which classes track their changes.
    tracks_changes: bool,
    /// The last event of each class that no snapshot is known to hold.
    dirty: BTreeMap<ClassId, EventId>,
    /// There may be dirty classes that are not in `dirty`.
    dirty_overflowed: bool,
}

/// The start of a round of the leader, all of one moment.
#[derive(Debug)]
pub(crate) struct Round {
    /// The log that the classes in memory belong to.
    pub(crate) version: LogVersion,
    /// Every event up to here is folded, if its class is in memory. If it is not, the class is in
    /// `dirty`, or `dirty_overflowed` is set, or a snapshot holds the event.
    pub(crate) position: EventId,
    /// Classes with events that no snapshot is known to hold.
    pub(crate) dirty: Vec<ClassId>,
    /// There may be more of them.
    pub(crate) dirty_overflowed: bool,
    /// [`Inner::resets`] at that moment.
    resets: u64,
}

impl Inner {
    fn mark_dirty(&mut self, class: ClassId, last: EventId) {
        if self.dirty.len() < MAX_DIRTY || self.dirty.contains_key(&class) {
            self.dirty.insert(class, last);
        } else {
            self.dirty_overflowed = true;
        }
    }

    fn version(&self) -> Option<LogVersion> {
        let epoch = self.epoch.clone()?;
        Some(LogVersion { epoch, deletions: self.deletions })
    }

    /// A snapshot holds every event of the class up to `through`.
    fn mark_clean(&mut self, class: &ClassId, through: EventId) {
        if self.dirty.get(class).is_some_and(|&last| last <= through) {
            self.dirty.remove(class);
        }
    }
}

impl ClassTable {
    /// Without any class, until the tail has read the table.
    pub(super) fn new() -> Self {
        let inner = Inner {
            epoch: None,
            deletions: 0,
            resets: 0,
            position: EventId::NONE,
            slots: HashMap::new(),
            tracks_changes: false,
            dirty: BTreeMap::new(),
            dirty_overflowed: false,
        };
        Self { inner: Mutex::new(inner), memory: Arc::default(), resets: watch::channel(0).0 }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes that the classes take up.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Changes whenever classes are dropped since the log has changed.
    pub(super) fn resets(&self) -> watch::Receiver<u64> {
        self.resets.subscribe()
    }

    /// How many classes are in memory.
    pub(super) fn len(&self) -> usize {
        self.lock().slots.len()
    }

    /// The epoch of the classes in memory; `None` until the tail has read the table.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.lock().epoch.clone()
    }

    /// How many statements have deleted events, as far as the tail knows.
    pub(super) fn deletions(&self) -> i64 {
        self.lock().deletions
    }

    /// Every event up to here was given to its class. Read this before the class's lock is taken:
    /// then the events up to here are folded once the lock is held.
    pub(super) fn position(&self) -> EventId {
        self.lock().position
    }

    /// The class's slot, if there is one.
    pub(super) fn slot(&self, class: &ClassId) -> Option<Arc<Slot>> {
        self.lock().slots.get(class).cloned()
    }

    /// All slots.
    pub(super) fn slots(&self) -> Vec<(ClassId, Arc<Slot>)> {
        self.lock().slots.iter().map(|(class, slot)| (class.clone(), Arc::clone(slot))).collect()
    }

    /// The class's slot, and whether it is a new one, whose class the caller has to load. `None`
    /// until the tail has read the table.
    pub(super) fn slot_or_new(&self, class: &ClassId) -> Option<(Arc<Slot>, bool)> {
        let mut inner = self.lock();
        inner.epoch.as_ref()?;
        if let Some(slot) = inner.slots.get(class) {
            return Some((Arc::clone(slot), false));
        }
        let slot = Arc::new(Slot::new(&self.memory));
        inner.slots.insert(class.clone(), Arc::clone(&slot));
        Some((slot, true))
    }

    /// Removes a class's slot, unless the class has another one by now. A request for the class
    /// from now on loads it again.
    pub(super) fn remove(&self, class: &ClassId, slot: &Arc<Slot>) {
        let mut inner = self.lock();
        if inner.slots.get(class).is_some_and(|other| Arc::ptr_eq(other, slot)) {
            inner.slots.remove(class);
        }
    }

    /// An event of the class was given to it, and is in no snapshot.
    pub(super) fn mark_dirty(&self, class: ClassId, last: EventId) {
        self.lock().mark_dirty(class, last);
    }

    /// Every event up to `position` was given to its class.
    pub(super) fn advance(&self, position: EventId) {
        let mut inner = self.lock();
        inner.position = inner.position.max(position);
    }

    /// The snapshots of these classes hold the events up to the given ids, under `version`.
    pub(super) fn mark_clean<'a>(
        &self,
        version: &LogVersion,
        through: impl Iterator<Item = (&'a ClassId, EventId)>,
    ) {
        let mut inner = self.lock();
        // Under another version, ids mean other events.
        if inner.version().as_ref() == Some(version) {
            through.for_each(|(class, through)| inner.mark_clean(class, through));
        }
    }

    /// The first `limit` of the dirty classes by name, after `after` and up to `last`.
    pub(super) fn dirty(
        &self,
        after: &ClassId,
        last: Option<&ClassId>,
        limit: usize,
    ) -> Vec<ClassId> {
        let last = last.map_or(Bound::Unbounded, Bound::Included);
        let inner = self.lock();
        let dirty = inner.dirty.range::<ClassId, _>((Bound::Excluded(after), last));
        dirty.take(limit).map(|(class, _)| class.clone()).collect()
    }

    /// Drops all classes: the tail begins again at `at`. `deletions` is how many statements have
    /// deleted events by then.
    pub(super) fn reset(&self, at: &Cursor, deletions: i64) {
        let mut inner = self.lock();
        let dropped = std::mem::take(&mut inner.slots);
        inner.dirty.clear();
        (inner.epoch, inner.position) = (Some(at.epoch.clone()), EventId(at.id));
        self.drop_slots(inner, dropped.into_values(), deletions);
    }

    /// Drops the classes of which events were deleted (`None`: all of them). Their snapshots are
    /// void too, so they are dirty.
    pub(super) fn drop_classes(&self, classes: Option<&[ClassId]>, deletions: i64) {
        let mut inner = self.lock();
        let dropped: Vec<Arc<Slot>> = match classes {
            None => std::mem::take(&mut inner.slots).into_values().collect(),
            Some(classes) => {
                let position = inner.position;
                for class in classes {
                    inner.mark_dirty(class.clone(), position);
                }
                classes.iter().filter_map(|class| inner.slots.remove(class)).collect()
            }
        };
        self.drop_slots(inner, dropped, deletions);
    }

    fn drop_slots(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        dropped: impl IntoIterator<Item = Arc<Slot>>,
        deletions: i64,
    ) {
        inner.deletions = deletions;
        inner.dirty_overflowed = true;
        inner.resets += 1;
        let resets = inner.resets;
        drop(inner);
        drop_on_another_thread(dropped.into_iter().map(|slot| slot.close()).collect());
        self.resets.send_replace(resets);
    }

    /// Whether classes track their changes.
    pub(super) fn tracks_changes(&self) -> bool {
        self.lock().tracks_changes
    }

    /// From now on classes track their changes, or no longer.
    pub(super) fn track_changes(&self, on: bool) {
        self.lock().tracks_changes = on;
        for (_, slot) in self.slots() {
            slot.live(|live| live.track_changes(on));
        }
    }

    /// Begins a round of the leader's, and takes the flag of the dirty set. `None` until the tail
    /// has read the table.
    pub(super) fn begin_round(&self) -> Option<Round> {
        let mut inner = self.lock();
        Some(Round {
            version: inner.version()?,
            position: inner.position,
            dirty: inner.dirty.keys().cloned().collect(),
            dirty_overflowed: std::mem::take(&mut inner.dirty_overflowed),
            resets: inner.resets,
        })
    }

    /// Whether the classes that were in memory when the round began are still those of this log.
    pub(super) fn is_undisturbed(&self, round: &Round) -> bool {
        self.lock().resets == round.resets
    }

    /// The class's slot, and the position, if the round is undisturbed.
    pub(super) fn slot_in_round(
        &self,
        class: &ClassId,
        round: &Round,
    ) -> Option<(Arc<Slot>, EventId)> {
        let inner = self.lock();
        let slot = inner.slots.get(class).filter(|_| inner.resets == round.resets)?;
        Some((Arc::clone(slot), inner.position))
    }

    /// In an undisturbed round, the class's snapshot was found or written to go up to `through`.
    pub(super) fn mark_clean_in_round(&self, round: &Round, class: &ClassId, through: EventId) {
        let mut inner = self.lock();
        if inner.resets == round.resets {
            inner.mark_clean(class, through);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Micros, StoredEvent};
    use crate::state::live::intake::Intake;

    fn cursor(epoch: &str, id: i64) -> Cursor {
        Cursor { epoch: Epoch::new(epoch), id }
    }

    /// An event of each of these classes, with ids from `first` on.
    fn take_in(table: &ClassTable, first: i64, names: impl Iterator<Item = String>) -> EventId {
        let mut intake = Intake::new(table);
        let mut id = first - 1;
        for class in names {
            id += 1;
            let received_at = Micros(0);
            let event = StoredEvent { id, class: &class, student: "s", received_at, body: "{}" };
            intake.event(&event);
        }
        intake.through(EventId(id));
        EventId(id)
    }

    #[test]
    fn a_round_has_position_dirty_classes_and_the_owed_scan_of_one_moment() {
        let table = ClassTable::new();
        assert!(table.begin_round().is_none(), "before the tail has read the table");
        table.reset(&cursor("e1", 7), 0);
        let first = table.begin_round().expect("a round");
        assert_eq!(
            (first.position, first.dirty_overflowed, first.dirty.len()),
            (EventId(7), true, 0),
            "the events before are not known"
        );
        assert!(!table.begin_round().expect("a round").dirty_overflowed);

        let last = take_in(&table, 8, (0..=MAX_DIRTY).map(|n| format!("c{n}")));
        let round = table.begin_round().expect("a round");
        assert_eq!(
            (round.position, round.dirty_overflowed, round.dirty.len()),
            (last, true, MAX_DIRTY),
            "one class too many"
        );
        assert!(table.is_undisturbed(&round));

        // A reset while the leader rests is seen by the round after it, and ends the round before.
        table.reset(&cursor("e2", last.0), 0);
        assert!(!table.is_undisturbed(&round));
        let next = table.begin_round().expect("a round");
        assert_eq!((next.dirty_overflowed, next.dirty.len()), (true, 0));
        assert_ne!(next.version, round.version);
    }
}
