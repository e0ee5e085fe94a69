//! What the keeper of the snapshots needs of the classes in use, and which of them are let go.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::classes::{Classes, Inner};
use super::live::{Live, Taken, Unsaved};
use super::slot::{Phase, Slot};
use crate::event::ClassId;
use crate::store::LogVersion;

/// A class that nobody asked for in this long is let go.
const IDLE: Duration = Duration::from_secs(600);
/// How often classes are let go, unless memory is full sooner, and how often then.
const SWEEP_TICK: Duration = Duration::from_secs(10);
const FULL_TICK: Duration = Duration::from_millis(100);

/// What the leader begins a round with.
#[derive(Debug)]
pub(super) struct Round {
    /// The log that what is in memory belongs to.
    pub(super) version: LogVersion,
    /// Every event up to here is in its class, if that is in memory, and otherwise its class is
    /// dirty, or `missed`.
    pub(super) id: i64,
    /// Classes of which something came that no snapshot is known to hold.
    pub(super) dirty: Vec<ClassId>,
    /// Something came for classes that are not among them.
    pub(super) missed: bool,
    /// As [`Inner::resets`] was.
    resets: u64,
}

impl Inner {
    /// The class's snapshot holds every event up to `through`.
    fn settle(&mut self, round: &Round, class: &ClassId, through: i64) {
        if self.resets == round.resets && self.heard.get(class).is_some_and(|&last| last <= through)
        {
            self.heard.remove(class);
        }
    }
}

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

    /// Begins a round of the leader's: from one moment the position, the classes of which something
    /// came up to there that no snapshot is known to hold, and whether there are classes beyond
    /// these. `None` until the tail stands.
    pub(super) fn begin_round(&self) -> Option<Round> {
        let mut inner = self.lock();
        let version = inner.version()?;
        let dirty = inner.heard.keys().cloned().collect();
        let missed = std::mem::take(&mut inner.missed);
        Some(Round { version, id: inner.head, resets: inner.resets, dirty, missed })
    }

    /// Ends a round in which all was written: its classes whose snapshots hold everything are no
    /// longer among those heard of.
    pub(super) fn end_round(&self, round: &Round) {
        for class in &round.dirty {
            let (slot, head) = {
                let inner = self.lock();
                let Some(slot) = inner.classes.get(class).filter(|_| inner.resets == round.resets)
                else {
                    continue;
                };
                (Arc::clone(slot), inner.head)
            };
            let clean =
                slot.live(|live| (!live.is_unsaved()).then(|| live.cursor(head).id)).flatten();
            if let Some(through) = clean {
                self.lock().settle(round, class, through);
            }
        }
    }

    /// The snapshots of these classes do not hold all of their events, whatever was written before.
    pub(super) fn doubt<'a>(&self, classes: impl Iterator<Item = &'a ClassId>) {
        for class in classes {
            let slot = self.lock().classes.get(class).cloned();
            if let Some(slot) = slot {
                slot.live(Live::doubt);
            }
        }
    }

    /// Whether what was in memory when the round began is there still.
    pub(super) fn is_undisturbed(&self, round: &Round) -> bool {
        self.lock().resets == round.resets
    }

    /// The classes with something that their snapshot does not hold.
    pub(super) fn unsaved(&self) -> Vec<ClassId> {
        let unsaved = |slot: &Slot| slot.live(|live| live.is_unsaved()) == Some(true);
        self.slots().into_iter().filter(|(_, slot)| unsaved(slot)).map(|(class, _)| class).collect()
    }

    /// What the class's snapshot does not hold, which goes as far as `standing`; it is taken for
    /// written.
    pub(super) fn take_unsaved(
        &self,
        class: &ClassId,
        round: &Round,
        standing: Option<i64>,
    ) -> Taken {
        let (slot, head) = {
            let inner = self.lock();
            let slot = inner.classes.get(class).filter(|_| inner.resets == round.resets);
            let Some(slot) = slot else { return Taken::Gone };
            (Arc::clone(slot), inner.head)
        };
        slot.live(|live| live.take_unsaved(standing, head)).unwrap_or(Taken::Gone)
    }

    /// It is written.
    pub(super) fn saved(&self, class: &ClassId, round: &Round, unsaved: &Unsaved) {
        let slot = {
            let mut inner = self.lock();
            inner.settle(round, class, unsaved.through);
            inner.classes.get(class).filter(|_| inner.resets == round.resets).cloned()
        };
        if let Some(slot) = slot {
            slot.live(|live| live.saved(unsaved));
            // While this replica writes it, it is in use.
            slot.touch();
        }
    }

    /// Lets go of classes now and then, and as soon as they take up too much. Never ends.
    pub async fn keep_room(self) {
        loop {
            let _ = tokio::time::timeout(SWEEP_TICK, self.memory().full.notified()).await;
            self.sweep();
            tokio::time::sleep(FULL_TICK).await;
        }
    }

    /// Lets go of the classes that nobody asked for in long, and of more while they take up too
    /// much.
    pub(super) fn sweep(&self) {
        let remembers = self.lock().remembers;
        let mut kept: Vec<(Instant, ClassId, Arc<Slot>)> = Vec::new();
        for (class, slot) in self.slots() {
            let look = |live: &mut Live| {
                let forgotten = live.forget_pictures();
                slot.weigh(live.weight());
                (forgotten, remembers && live.is_unsaved())
            };
            // Whatever is not written yet stays.
            if let Some((_, false)) = slot.live(look) {
                kept.push((slot.used(), class, slot));
            }
        }
        kept.sort_unstable_by_key(|&(used, ..)| used);
        let mut gone = Vec::new();
        for (used, class, slot) in kept {
            if used.elapsed() < IDLE && !self.memory().is_full() {
                break;
            }
            // First out of reach: whoever asks now brings it in anew. What is folded into it
            // meanwhile was heard of.
            let mut inner = self.lock();
            if inner.classes.get(&class).is_some_and(|place| Arc::ptr_eq(place, &slot)) {
                inner.classes.remove(&class);
            }
            drop(inner);
            gone.push(slot.close());
            tracing::debug!(%class, "a class is let go");
        }
        drop_elsewhere(gone);
    }
}

/// A large class takes a while to be dropped: that is nobody's time who is waited for.
pub(super) fn drop_elsewhere(gone: Vec<Phase>) {
    if gone.is_empty() {
        return;
    }
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn_blocking(|| drop(gone));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Cursor, Epoch, Micros, StoredEvent};
    use crate::state::ClassState;
    use crate::state::intake::MAX_HEARD;
    use crate::store::{Connector, Pages};

    fn live(classes: &Classes, name: &str) -> Arc<Slot> {
        let class = ClassId::new(name).expect("a class");
        let mut state = ClassState::default();
        let body = r#"{"eventType":"help","eventTime":"2026-11-23T15:36:03Z"}"#;
        state.fold(&StoredEvent { id: 1, class: name, student: "s", received_at: Micros(0), body });
        let slot = Arc::new(Slot::new(classes.memory()));
        *slot.lock() =
            Phase::Live(Box::new(Live::new(class.clone(), Epoch::new("e"), state, 1, 0, None)));
        classes.lock().classes.insert(class, Arc::clone(&slot));
        slot
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_let_go_but_nothing_unwritten() {
        let classes = nowhere();
        let (idle, used) = (live(&classes, "idle"), live(&classes, "used"));
        let names = || {
            let mut names: Vec<String> =
                classes.slots().into_iter().map(|(class, _)| class.to_string()).collect();
            names.sort_unstable();
            names
        };
        tokio::time::advance(IDLE - Duration::from_secs(1)).await;
        used.touch();
        classes.sweep();
        assert_eq!(names(), ["idle", "used"]);

        classes.remember(true);
        tokio::time::advance(Duration::from_secs(1)).await;
        classes.sweep();
        assert_eq!(names(), ["idle", "used"], "its snapshot does not hold all of it");
        let taken = idle.live(|live| live.take_unsaved(None, 1)).expect("it lives");
        let Taken::Unsaved(unsaved) = taken else { panic!("{taken:?}") };
        idle.live(|live| live.saved(&unsaved));
        classes.sweep();
        assert_eq!(names(), ["used"]);
        assert!(matches!(*idle.lock(), Phase::Gone));
    }

    fn nowhere() -> Classes {
        let nowhere = Connector::parse("postgres:///none?host=/nowhere").expect("a URL");
        Classes::new(Pages::new(&nowhere).expect("a pool"))
    }

    fn cursor(epoch: &str, id: i64) -> Cursor {
        Cursor { epoch: Epoch::new(epoch), id }
    }

    /// An event of each of these classes, with ids from `first` on.
    fn take_in(classes: &Classes, first: i64, names: impl Iterator<Item = String>) -> i64 {
        let mut intake = classes.begin();
        let mut id = first - 1;
        for class in names {
            id += 1;
            let body = "{}";
            intake.event(&StoredEvent {
                id,
                class: &class,
                student: "s",
                received_at: Micros(0),
                body,
            });
        }
        intake.through(id);
        id
    }

    #[tokio::test]
    async fn a_round_has_position_dirty_classes_and_the_owed_scan_of_one_moment() {
        let classes = nowhere();
        assert!(classes.begin_round().is_none(), "before the tail stands");
        classes.reset(&cursor("e1", 7), 0);
        let first = classes.begin_round().expect("a round");
        assert_eq!(
            (first.id, first.missed, first.dirty.len()),
            (7, true, 0),
            "what was before is not known"
        );
        assert!(!classes.begin_round().expect("a round").missed);

        let last = take_in(&classes, 8, (0..=MAX_HEARD).map(|n| format!("c{n}")));
        let round = classes.begin_round().expect("a round");
        assert_eq!(
            (round.id, round.missed, round.dirty.len()),
            (last, true, MAX_HEARD),
            "one class too many"
        );
        assert!(classes.is_undisturbed(&round));

        // A reset while the leader rests is seen by the round after it, and ends the round before.
        classes.reset(&cursor("e2", last), 0);
        assert!(!classes.is_undisturbed(&round));
        let next = classes.begin_round().expect("a round");
        assert_eq!((next.missed, next.dirty.len()), (true, 0));
        assert_ne!(next.version, round.version);
    }

    #[tokio::test]
    async fn classes_whose_events_were_deleted_are_dropped_and_written_again() {
        let classes = nowhere();
        classes.reset(&cursor("e", 1), 4);
        let (one, other) = (live(&classes, "one"), live(&classes, "other"));
        let before = classes.begin_round().expect("a round");
        let class = |name| ClassId::new(name).expect("a class");
        classes.forget(Some(&[class("one"), class("unknown")]), 5);
        assert!(matches!(*one.lock(), Phase::Gone) && !matches!(*other.lock(), Phase::Gone));
        assert!(
            matches!(classes.take_unsaved(&class("other"), &before, None), Taken::Gone),
            "another version"
        );
        let after = classes.begin_round().expect("a round");
        let mut dirty = after.dirty.clone();
        dirty.sort_unstable();
        assert_eq!(dirty, [class("one"), class("unknown")]);
        assert!(after.missed && after.version.deletions == 5);
        assert!(matches!(classes.take_unsaved(&class("other"), &after, None), Taken::Unsaved(_)));
        classes.forget(None, 6);
        assert!(matches!(*other.lock(), Phase::Gone));
    }

    #[tokio::test]
    async fn changes_are_written_only_onto_the_snapshot_that_they_are_changes_of() {
        let classes = nowhere();
        classes.reset(&cursor("e", 1), 0);
        let slot = live(&classes, "c");
        let mut id = 1;
        let mut fold = |student: &str| {
            id += 1;
            let body = r#"{"eventType":"help"}"#;
            slot.live(|live| {
                live.state.fold(&StoredEvent {
                    id,
                    class: "c",
                    student,
                    received_at: Micros(0),
                    body,
                });
            });
            id
        };
        let take =
            |standing, head| slot.live(|live| live.take_unsaved(standing, head)).expect("it lives");
        let save = |unsaved: &Unsaved| slot.live(|live| live.saved(unsaved)).expect("it lives");
        let unsaved = |taken| match taken {
            Taken::Unsaved(unsaved) => unsaved,
            other => panic!("{other:?}"),
        };
        slot.live(|live| live.remember(true));
        let first = unsaved(take(None, 1));
        assert!(first.changes.whole, "none is there");
        save(&first);
        assert!(matches!(take(Some(1), 1), Taken::Nothing));
        let last = fold("a");
        let second = unsaved(take(Some(1), last));
        assert!(!second.changes.whole && second.changes.rows.students.len() == 1);
        // It was not answered: nobody knows whether it is written.
        let last = fold("b");
        assert!(unsaved(take(Some(1), last)).changes.whole);
        let third = unsaved(take(Some(2), last));
        assert_eq!((third.changes.whole, third.changes.rows.students.len()), (true, 3));
        save(&third);
        let last = fold("a");
        assert!(unsaved(take(None, last)).changes.whole, "what was there is void");
        assert!(unsaved(take(Some(2), last)).changes.whole, "another wrote");
        save(&unsaved(take(Some(2), last)));
        assert!(matches!(take(Some(last), last), Taken::Nothing));
        // A crash of the server has undone it.
        classes.doubt([ClassId::new("c").expect("a class")].iter());
        assert!(unsaved(take(Some(2), last)).changes.whole);
        assert!(matches!(take(Some(last + 1), last), Taken::Behind), "another was further");
    }
}
