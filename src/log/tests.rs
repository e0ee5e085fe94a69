use super::*;
use crate::event::{Micros, StoredEvent};

const EVERYTHING: usize = usize::MAX;

fn epoch() -> Epoch {
    Epoch::new("e1")
}

fn at(id: i64) -> Cursor {
    Cursor { epoch: epoch(), id }
}

fn class(name: &str) -> ClassId {
    ClassId::new(name).expect("a class")
}

/// Appends events, `(id, class)` in id order, as one read of the tail does.
fn append(log: &Log, events: &[(i64, &str)]) {
    let mut set = ChunkSet::new(epoch());
    for &(id, class) in events {
        let body = format!("{{\"n\":{id}}}");
        set.push(&StoredEvent { id, class, student: "s", received_at: Micros(0), body: &body });
    }
    let head = events.last().expect("an event").0;
    log.append(set.take(), head);
}

fn ids(frame: &EncodedFrame) -> Vec<i64> {
    let frame: serde_json::Value = serde_json::from_slice(&frame.text).expect("valid");
    let events = frame["events"].as_array().expect("events");
    let ids: Vec<i64> = events.iter().map(|event| event["id"].as_i64().expect("an id")).collect();
    assert_eq!(frame["cursor"], format!("e1.{}", ids.last().expect("an event")));
    ids
}

/// Follows `classes` from `after` as a session does, until nothing is left.
fn follow(log: &Log, mut after: i64, classes: &[ClassId], max_bytes: usize) -> Vec<i64> {
    let mut seen = Vec::new();
    loop {
        match log.read(&at(after), 0, classes, max_bytes) {
            Read::Frames(frames, through) => {
                assert!(through > after);
                after = through;
                for frame in frames {
                    seen.extend(ids(&frame));
                    assert_eq!(seen.last(), Some(&frame.last));
                }
                assert_eq!(seen.last(), Some(&after));
            }
            Read::UpToDate(_) => return seen,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_cursor_is_followed_by_exactly_the_later_events() {
    let log = Log::new(at(0), EVERYTHING);
    append(&log, &[(1, "a"), (2, "a"), (3, "b"), (5, "a")]);
    append(&log, &[(6, "b"), (7, "a"), (9, "b"), (10, "b"), (11, "a")]);
    let all = [
        (1, "a"),
        (2, "a"),
        (3, "b"),
        (5, "a"),
        (6, "b"),
        (7, "a"),
        (9, "b"),
        (10, "b"),
        (11, "a"),
    ];
    for after in 0..13 {
        for classes in [&["a"][..], &["b"], &["a", "b"], &["b", "a", "c"]] {
            for max_bytes in [1, 150, EVERYTHING] {
                let expected: Vec<i64> = all
                    .iter()
                    .filter(|(id, class)| *id > after && classes.contains(class))
                    .map(|e| e.0)
                    .collect();
                let classes: Vec<ClassId> = classes.iter().map(|name| class(name)).collect();
                assert_eq!(
                    follow(&log, after, &classes, max_bytes),
                    expected,
                    "{after} {classes:?} {max_bytes}"
                );
            }
        }
    }
}

#[test]
fn one_frame_serves_all_subscribers() {
    let log = Log::new(at(0), EVERYTHING);
    append(&log, &[(1, "a"), (2, "a")]);
    let frame = || match log.read(&at(0), 0, &[class("a")], EVERYTHING) {
        Read::Frames(frames, 2) => frames[0].text.as_ptr(),
        other => panic!("{other:?}"),
    };
    assert_eq!(frame(), frame());
}

#[test]
fn memory_is_bounded_and_a_cursor_below_the_floor_is_behind() {
    let log = Log::new(at(0), 4_000);
    for id in 1..=1_000 {
        append(&log, &[(id, if id % 7 == 0 { "quiet" } else { "loud" })]);
    }
    assert!(log.lock().bytes <= 4_000);
    let floor = log.lock().floor;
    assert!(floor > 900);
    assert!(matches!(log.read(&at(floor - 1), 0, &[class("quiet")], 1), Read::Behind(_)));
    assert_eq!(
        follow(&log, floor, &[class("loud"), class("quiet")], 1),
        (floor + 1..=1_000).collect::<Vec<_>>()
    );
    // An event that is larger than the whole memory is evicted at once, and its readers are behind.
    let body = format!("{{\"code\":\"{}\"}}", "x".repeat(5_000));
    let mut set = ChunkSet::new(epoch());
    set.push(&StoredEvent {
        id: 1_001,
        class: "loud",
        student: "s",
        received_at: Micros(0),
        body: &body,
    });
    log.append(set.take(), 1_001);
    assert!(matches!(log.read(&at(1_000), 0, &[class("loud")], 1), Read::Behind(_)));
    assert!(matches!(log.read(&at(1_001), 0, &[class("loud")], 1), Read::UpToDate(1_001)));
    assert!(log.lock().classes.is_empty() && log.lock().order.is_empty());
}

#[test]
fn frames_are_bounded() {
    let body = format!("{{\"code\":\"{}\"}}", "x".repeat(100_000));
    let mut builder = ChunkBuilder::new(epoch());
    for id in 1..=5 {
        builder.push(&StoredEvent {
            id,
            class: "a",
            student: "s",
            received_at: Micros(0),
            body: &body,
        });
    }
    let chunks = builder.finish();
    assert_eq!(
        chunks.iter().map(|chunk| ids(&chunk.frame())).collect::<Vec<_>>(),
        [vec![1, 2], vec![3, 4], vec![5]]
    );
    assert!(chunks.iter().all(|chunk| chunk.text_len() <= MAX_FRAME_BYTES));
}

#[test]
fn a_cursor_of_another_epoch_is_told_the_logs_position() {
    let log = Log::new(at(5), EVERYTHING);
    let renewed = Cursor { epoch: Epoch::new("e2"), id: 3 };
    log.reset(renewed.clone());
    match log.read(&at(5), 0, &[class("a")], 1) {
        Read::OtherEpoch(position) => assert_eq!(position, renewed),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_the_subscribers_of_a_class_are_woken() {
    let log = Log::new(at(0), EVERYTHING);
    let a = log.subscribe(&[class("a"), class("b")]);
    let c = log.subscribe(&[class("c")]);
    append(&log, &[(1, "b")]);
    a.woken().await;
    assert!(futures::poll!(Box::pin(c.woken())).is_pending());
    drop((a, c));
    assert!(log.waiters.is_empty());
}
