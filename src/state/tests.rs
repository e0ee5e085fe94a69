//! The shared vectors, and that portions do not matter.

use serde_json::Value;

use super::drawing::Drawing;
use super::view::{self, Parts};
use super::{ClassState, MAX_MESSAGES};
use crate::event::{Micros, StoredEvent, parse_rfc3339};
use crate::store::{Changes, Snapshot};

const VECTORS: &str = include_str!("../../tests/vectors/state.json");

fn time(value: &Value) -> i64 {
    parse_rfc3339(value.as_str().expect("a time")).expect("a time").0
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
    let holds =
        view::summary(class, now, Parts { cells: true, grid: true, activity: true }, &mut out);
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

/// A student's event of any kind, by clocks that are wrong at times.
fn random_body(n: i64) -> String {
    let kind = [
        "cell_executed",
        "cell_executed",
        "cell_executed",
        "help",
        "help_stop",
        "help_resolved",
        "other",
    ];
    let kind = kind[fastrand::usize(..kind.len())];
    let second = n / 4 + fastrand::i64(-8..8);
    format!(
        r#"{{"eventType":"{kind}","eventTime":"2026-04-01T09:{:02}:{:02}Z","notebookPath":"n{}","cellId":"c{}","cellIndex":{},"executionCount":{},"hasError":{},"errorMessage":"E{}"}}"#,
        second.rem_euclid(3600) / 60,
        second.rem_euclid(60),
        fastrand::u8(..2),
        fastrand::u8(..6),
        fastrand::u8(..9),
        fastrand::u8(..3),
        fastrand::bool(),
        fastrand::u8(..30),
    )
}

/// What the tables hold once changes are written.
fn write(tables: &mut Snapshot, changes: Changes) {
    tables.students.retain(|row| !changes.gone_students.contains(&row.0));
    tables.cells.retain(|row| !changes.gone_cells.contains(&(row.0.clone(), row.1.clone())));
    tables
        .runs
        .retain(|row| !changes.gone_runs.contains(&(row.0.clone(), row.1.clone(), row.2.clone())));
    tables.minutes.retain(|&(start, _)| changes.minutes_begin.is_none_or(|begin| start >= begin));
    let Snapshot { class, students, cells, runs, minutes } = changes.rows;
    tables.class = class;
    tables.students.retain(|row| !students.iter().any(|new| new.0 == row.0));
    tables.students.extend(students);
    tables.cells.retain(|row| !cells.iter().any(|new| (&new.0, &new.1) == (&row.0, &row.1)));
    tables.cells.extend(cells);
    tables
        .runs
        .retain(|row| !runs.iter().any(|new| (&new.0, &new.1, &new.2) == (&row.0, &row.1, &row.2)));
    tables.runs.extend(runs);
    tables.minutes.retain(|row| !minutes.iter().any(|new| new.0 == row.0));
    tables.minutes.extend(minutes);
    tables.sort();
}

/// However often changes are written, and the class let go and brought in again from the tables: in
/// the end it is what the events make, within bounds so small that everything gives way to
/// something all the time.
#[test]
fn portions_snapshots_and_bounds_change_nothing() {
    for _ in 0..30 {
        let fresh = || ClassState::bounded(5, 7, 15);
        let (mut whole, mut parts, mut tables) = (fresh(), fresh(), Snapshot::default());
        parts.remember(true);
        for id in 1..=600 {
            let (student, body) = (format!("s{}", fastrand::u8(..8)), random_body(id));
            let received_at = Micros(1_775_034_000_000_000 + id * 2_500_000);
            let event = StoredEvent { id, class: "c", student: &student, received_at, body: &body };
            whole.fold(&event);
            parts.fold(&event);
            if fastrand::u8(..9) == 0 {
                write(&mut tables, parts.take_changes(id));
                assert_eq!(tables, whole.snapshot(id), "after {id}");
            }
            if fastrand::u8(..9) == 0 {
                // What is not written is folded again from the events: here, written before it is
                // let go.
                write(&mut tables, parts.take_changes(id));
                assert_eq!(tables, parts.snapshot(id));
                parts = fresh().filled(parts.snapshot(id));
                parts.remember(true);
            }
        }
        assert_eq!(parts.snapshot(600), whole.snapshot(600));
    }
}

/// A drawing that is copied in portions, at any time and with events between them, comes to what
/// one made at once does; within bounds so small that everything gives way to something all the
/// time.
#[test]
fn a_copy_in_portions_is_the_state() {
    let fresh = || ClassState::bounded(5, 7, 15);
    for _ in 0..30 {
        let (mut class, mut drawing) = (fresh(), Drawing::default());
        let fold = |class: &mut ClassState, id: i64| {
            let (student, body) = (format!("s{}", fastrand::u8(..8)), random_body(id));
            let received_at = Micros(1_775_034_000_000_000 + id * 2_500_000);
            class.fold(&StoredEvent {
                id,
                class: "c",
                student: &student,
                received_at,
                body: &body,
            });
        };
        for id in 1..=600 {
            fold(&mut class, id);
            if fastrand::u8(..4) == 0 {
                drawing.copy(&mut class, fastrand::usize(1..6));
            }
            if fastrand::u8(..4) == 0 {
                drawing.render();
            }
            if fastrand::u8(..9) > 0 {
                continue;
            }
            while !drawing.copy(&mut class, 3) {
                drawing.render();
            }
            drawing.render();
            let minutes = class.minutes_since(i64::MIN);
            let (now, parts) =
                (class.last_received_at(), Parts { cells: true, grid: true, activity: true });
            let (mut drawn, mut expected) = (String::new(), String::new());
            view::drawn_summary(&mut drawing, &minutes, now, parts, &mut drawn);
            view::summary(&mut fresh().filled(class.snapshot(id)), now, parts, &mut expected);
            assert_eq!(drawn, expected, "after {id}");
        }
    }
}

/// Bytes are counted as they change: in the end as if all had been put there at once.
#[test]
fn bytes_do_not_drift() {
    let fresh = || ClassState::bounded(5, 7, 15);
    let mut class = fresh();
    for id in 1..=5_000 {
        let (student, body) = (format!("s{}", fastrand::u8(..8)), random_body(id));
        let received_at = Micros(1_775_034_000_000_000 + id * 2_500_000);
        class.fold(&StoredEvent { id, class: "c", student: &student, received_at, body: &body });
    }
    let again = fresh().filled(class.snapshot(5_000));
    assert_eq!(class.heap(), again.heap());
    assert!(class.weight() < 64 * 1024, "{}", class.weight());
}
