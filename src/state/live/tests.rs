//! Eviction, and what the snapshot writer gets of the classes in memory.

use std::sync::Arc;
use std::time::Duration;

use super::classes::Classes;
use super::evict::IDLE;
use super::live_class::{Beginning, LiveClass, TakenChanges, UnsavedChanges};
use super::slot::{Phase, Slot};
use crate::database::{Connector, Pages};
use crate::event::{ClassId, Cursor, Epoch, EventId, Micros, StoredEvent};
use crate::state::ClassState;

fn live(classes: &Classes, name: &str) -> Arc<Slot> {
    let class = ClassId::new(name).expect("a class");
    let mut state = ClassState::default();
    let body = r#"{"eventType":"help","eventTime":"2026-11-23T15:36:03Z"}"#;
    state.fold(&StoredEvent { id: 1, class: name, student: "s", received_at: Micros(0), body });
    let past = Beginning { state, through: EventId(1), saved: EventId::NONE, base: None };
    let live = LiveClass::new(class.clone(), Epoch::new("e"), past);
    let (slot, is_new) = classes.table.slot_or_new(&class).expect("the tail has read the table");
    assert!(is_new);
    *slot.lock() = Phase::Live(Box::new(live));
    slot
}

#[tokio::test(start_paused = true)]
async fn a_class_that_is_not_asked_for_is_evicted_unless_it_is_unsaved() {
    let classes = nowhere();
    classes.reset(&cursor("e", 1), 0);
    let (idle, used) = (live(&classes, "idle"), live(&classes, "used"));
    let names = || {
        let mut names: Vec<String> =
            classes.table.slots().into_iter().map(|(class, _)| class.to_string()).collect();
        names.sort_unstable();
        names
    };
    tokio::time::advance(IDLE - Duration::from_secs(1)).await;
    used.touch();
    classes.sweep();
    assert_eq!(names(), ["idle", "used"]);

    classes.track_changes(true);
    tokio::time::advance(Duration::from_secs(1)).await;
    classes.sweep();
    assert_eq!(names(), ["idle", "used"], "its snapshot does not hold all of it");
    let taken = idle.live(|live| live.take_changes(None, EventId(1))).expect("it is live");
    let TakenChanges::Changes(unsaved) = taken else { panic!("{taken:?}") };
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

#[tokio::test]
async fn classes_whose_events_were_deleted_are_dropped_and_written_again() {
    let classes = nowhere();
    classes.reset(&cursor("e", 1), 4);
    let (one, other) = (live(&classes, "one"), live(&classes, "other"));
    let before = classes.begin_round().expect("a round");
    let class = |name| ClassId::new(name).expect("a class");
    classes.drop_classes(Some(&[class("one"), class("unknown")]), 5);
    assert!(matches!(*one.lock(), Phase::Gone) && !matches!(*other.lock(), Phase::Gone));
    assert!(
        matches!(classes.take_changes(&class("other"), &before, None), TakenChanges::NotInMemory),
        "another version"
    );
    let after = classes.begin_round().expect("a round");
    let mut dirty = after.dirty.clone();
    dirty.sort_unstable();
    assert_eq!(dirty, [class("one"), class("unknown")]);
    assert!(after.dirty_overflowed && after.version.deletions == 5);
    assert!(matches!(
        classes.take_changes(&class("other"), &after, None),
        TakenChanges::Changes(_)
    ));
    classes.drop_classes(None, 6);
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
            live.state.fold(&StoredEvent { id, class: "c", student, received_at: Micros(0), body });
        });
        id
    };
    let take = |through: Option<i64>, position: i64| {
        slot.live(|live| live.take_changes(through.map(EventId), EventId(position)))
            .expect("it is live")
    };
    let save =
        |unsaved: &UnsavedChanges| slot.live(|live| live.saved(unsaved)).expect("it is live");
    let unsaved = |taken| match taken {
        TakenChanges::Changes(unsaved) => unsaved,
        other => panic!("{other:?}"),
    };
    slot.live(|live| live.track_changes(true));
    let first = unsaved(take(None, 1));
    assert!(first.changes.whole, "there is none");
    save(&first);
    assert!(matches!(take(Some(1), 1), TakenChanges::Nothing));
    let last = fold("a");
    let second = unsaved(take(Some(1), last));
    assert!(!second.changes.whole && second.changes.rows.students.len() == 1);
    // There was no answer: whether it is written is not known.
    let last = fold("b");
    assert!(unsaved(take(Some(1), last)).changes.whole);
    let third = unsaved(take(Some(2), last));
    assert_eq!((third.changes.whole, third.changes.rows.students.len()), (true, 3));
    save(&third);
    let last = fold("a");
    assert!(unsaved(take(None, last)).changes.whole, "the snapshot is void");
    assert!(unsaved(take(Some(2), last)).changes.whole, "another wrote");
    save(&unsaved(take(Some(2), last)));
    assert!(matches!(take(Some(last), last), TakenChanges::Nothing));
    // A crash of the server has undone it.
    classes.mark_unsaved([ClassId::new("c").expect("a class")].iter());
    assert!(unsaved(take(Some(2), last)).changes.whole);
    assert!(
        matches!(take(Some(last + 1), last), TakenChanges::SnapshotIsAhead),
        "another was further"
    );
}
