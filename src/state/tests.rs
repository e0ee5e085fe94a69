//! The shared vectors, and that portions do not matter.

use serde_json::Value;

use super::observed::parse_rfc3339;
use super::view::{self, Parts};
use super::{ClassState, MAX_MESSAGES};
use crate::event::{Micros, StoredEvent};

const VECTORS: &str = include_str!("../../tests/vectors/state.json");

fn time(value: &Value) -> i64 {
    parse_rfc3339(value.as_str().expect("a time").as_bytes()).expect("a time")
}

fn fold(class: &mut ClassState, event: &Value) {
    let body = event.to_string();
    class.fold(&StoredEvent {
        id: event["id"].as_i64().expect("an id"),
        class: event["classId"].as_str().expect("a class"),
        student: event["studentId"].as_str().expect("a student"),
        received_at: Micros(time(&event["receivedAt"])),
        body: &body,
    });
}

fn picture(class: &mut ClassState, now: i64) -> (Value, i64) {
    let mut out = String::from("{");
    let holds = view::summary(class, now, Parts { cells: true, grid: true, activity: true }, &mut out);
    out.push('}');
    (serde_json::from_str(&out).expect("valid JSON"), holds)
}

fn cases() -> Vec<Value> {
    serde_json::from_str(VECTORS).expect("tests/vectors/state.json")
}

fn events(case: &Value) -> &[Value] {
    case["events"].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn vectors() {
    for case in cases() {
        let mut class = ClassState::default();
        for event in events(&case) {
            fold(&mut class, event);
        }
        let (picture, _) = picture(&mut class, time(&case["now"]));
        for (part, expected) in case["expect"].as_object().expect("what is expected") {
            assert_eq!(&picture[part], expected, "{part} of {}", case["name"]);
        }
        assert_eq!(class.events(), events(&case).len() as i64);
    }
}

/// What was written in between, at any time, changes nothing of what is written in the end.
#[test]
fn looking_in_between_changes_nothing() {
    for case in cases() {
        let now = time(&case["now"]);
        for _ in 0..3 {
            let mut class = ClassState::default();
            for event in events(&case) {
                fold(&mut class, event);
                if fastrand::u8(..4) == 0 {
                    picture(&mut class, now + fastrand::i64(-1_000_000_000..1_000_000_000));
                }
            }
            let (picture, holds) = picture(&mut class, now);
            assert_eq!(picture["students"], case["expect"]["students"], "{}", case["name"]);
            assert!(holds > now);
        }
    }
}

/// A picture holds until the moment it names and no longer.
#[test]
fn a_picture_says_how_long_it_holds() {
    for case in cases() {
        let mut class = ClassState::default();
        for event in events(&case) {
            fold(&mut class, event);
        }
        let now = time(&case["now"]);
        let (before, holds) = picture(&mut class, now);
        if holds == i64::MAX {
            continue;
        }
        assert_eq!(picture(&mut class, holds - 1).0, before, "{}", case["name"]);
        assert_ne!(picture(&mut class, holds).0["metrics"], before["metrics"], "{}", case["name"]);
    }
}

#[test]
fn the_vectors_reach_the_bound_of_messages() {
    let longest = cases()
        .iter()
        .flat_map(|case| case["expect"]["cells"].as_array().cloned().unwrap_or_default())
        .filter_map(|cell| cell["topErrors"].as_array().map(Vec::len))
        .max();
    assert_eq!(longest, Some(MAX_MESSAGES));
}
