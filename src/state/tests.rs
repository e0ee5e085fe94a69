//! The shared vectors, and that neither portions nor snapshots change the state.

use serde_json::Value;

use super::fold::cell::MAX_MESSAGES;
use super::live::rendered_rows::RenderedRows;
use super::live::rendered_summary::{write_members, write_summary};
use super::{ClassState, SummaryParts};
use crate::database::{CellKey, Changes, Snapshot, StudentCellKey};
use crate::event::{EventId, Micros, StoredEvent, parse_rfc3339};

const VECTORS: &str = include_str!("../../tests/vectors/state.json");

fn time(value: &Value) -> Micros {
    parse_rfc3339(value.as_str().expect("a time")).expect("a time")
}

fn fold(class: &mut ClassState, event: &Value) {
    let body = event.to_string();
    class.fold(&StoredEvent {
        id: event["id"].as_i64().expect("an id"),
        class: event["classId"].as_str().expect("a class"),
        student: event["studentId"].as_str().expect("a student"),
        received_at: time(&event["receivedAt"]),
        body: &body,
    });
}

const ALL_PARTS: SummaryParts = SummaryParts { cells: true, grid: true, activity: true };

/// The members of a summary, and until when they are valid.
fn summary(class: &mut ClassState, now: Micros) -> (Value, Micros) {
    let mut out = String::from("{");
    let valid_until = write_summary(class, now, ALL_PARTS, &mut out);
    out.push('}');
    (serde_json::from_str(&out).expect("valid JSON"), valid_until)
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
        let (summary, _) = summary(&mut class, time(&case["now"]));
        for (part, expected) in case["expect"].as_object().expect("the expected parts") {
            assert_eq!(&summary[part], expected, "{part} of {}", case["name"]);
        }
        assert_eq!(class.events(), events(&case).len() as i64);
    }
}

/// Rendering summaries in between, at any time, does not change the summary in the end.
#[test]
fn rendering_in_between_changes_nothing() {
    for case in cases() {
        let now = time(&case["now"]);
        for _ in 0..3 {
            let mut class = ClassState::default();
            for event in events(&case) {
                fold(&mut class, event);
                if fastrand::u8(..4) == 0 {
                    let other = fastrand::i64(-1_000_000_000..1_000_000_000);
                    summary(&mut class, Micros(now.0 + other));
                }
            }
            let (summary, valid_until) = summary(&mut class, now);
            assert_eq!(summary["students"], case["expect"]["students"], "{}", case["name"]);
            assert!(valid_until > now);
        }
    }
}

/// A summary is valid until the moment it names and no longer.
#[test]
fn a_summary_says_until_when_it_is_valid() {
    for case in cases() {
        let mut class = ClassState::default();
        for event in events(&case) {
            fold(&mut class, event);
        }
        let now = time(&case["now"]);
        let (before, valid_until) = summary(&mut class, now);
        if valid_until == Micros::MAX {
            continue;
        }
        let last = Micros(valid_until.0 - 1);
        assert_eq!(summary(&mut class, last).0, before, "{}", case["name"]);
        let after = summary(&mut class, valid_until).0;
        assert_ne!(after["metrics"], before["metrics"], "{}", case["name"]);
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
        r#"{{"eventType":"{kind}","eventTime":"2026-04-01T09:{:02}:{:02}Z",
            "notebookPath":"n{}","cellId":"c{}","cellIndex":{},
            "executionCount":{},"hasError":{},"errorMessage":"E{}"}}"#,
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

/// Writes changes into the tables' rows, as the database does.
fn write(tables: &mut Snapshot, changes: Changes) {
    tables.students.retain(|row| !changes.deleted_students.contains(&row.student_id));
    tables.cells.retain(|row| {
        let (notebook_path, cell_id) = (row.notebook_path.clone(), row.cell_id.clone());
        !changes.deleted_cells.contains(&CellKey { notebook_path, cell_id })
    });
    tables.student_cells.retain(|row| {
        let (notebook_path, cell_id) = (row.notebook_path.clone(), row.cell_id.clone());
        let key = StudentCellKey { student_id: row.student_id.clone(), notebook_path, cell_id };
        !changes.deleted_student_cells.contains(&key)
    });
    tables.minutes.retain(|row| changes.minutes_begin.is_none_or(|begin| row.start >= begin));
    let Snapshot { class, students, cells, student_cells, minutes } = changes.rows;
    tables.class = class;
    tables.students.retain(|row| !students.iter().any(|new| new.student_id == row.student_id));
    tables.students.extend(students);
    tables.cells.retain(|row| !cells.iter().any(|new| new.key() == row.key()));
    tables.cells.extend(cells);
    tables.student_cells.retain(|row| !student_cells.iter().any(|new| new.key() == row.key()));
    tables.student_cells.extend(student_cells);
    tables.minutes.retain(|row| !minutes.iter().any(|new| new.start == row.start));
    tables.minutes.extend(minutes);
    tables.sort();
}

/// However often changes are written, and the class is evicted and loaded again from the tables: in
/// the end it is the state that the events make. The bounds are so small that entries are evicted
/// all the time.
#[test]
fn portions_snapshots_and_bounds_change_nothing() {
    for _ in 0..30 {
        let fresh = || ClassState::bounded(5, 7, 15);
        let (mut whole, mut parts, mut tables) = (fresh(), fresh(), Snapshot::default());
        parts.track_changes(true);
        for id in 1..=600 {
            let (student, body) = (format!("s{}", fastrand::u8(..8)), random_body(id));
            let received_at = Micros(1_775_034_000_000_000 + id * 2_500_000);
            let event = StoredEvent { id, class: "c", student: &student, received_at, body: &body };
            whole.fold(&event);
            parts.fold(&event);
            if fastrand::u8(..9) == 0 {
                write(&mut tables, parts.take_changes(EventId(id)));
                assert_eq!(tables, whole.snapshot(EventId(id)), "after {id}");
            }
            if fastrand::u8(..9) == 0 {
                // Changes that are not written are folded again from the events; here they are
                // written before the class is evicted.
                write(&mut tables, parts.take_changes(EventId(id)));
                assert_eq!(tables, parts.snapshot(EventId(id)));
                parts = fresh().filled(parts.snapshot(EventId(id)));
                parts.track_changes(true);
            }
        }
        assert_eq!(parts.snapshot(EventId(600)), whole.snapshot(EventId(600)));
    }
}

/// Rows that are copied in portions, at any time and with events between them, are those that are
/// copied at once. The bounds are so small that entries are evicted all the time.
#[test]
fn a_copy_in_portions_is_the_state() {
    let fresh = || ClassState::bounded(5, 7, 15);
    for _ in 0..30 {
        let (mut class, mut rows) = (fresh(), RenderedRows::default());
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
                rows.copy(&mut class, fastrand::usize(1..6));
            }
            if fastrand::u8(..4) == 0 {
                rows.render();
            }
            if fastrand::u8(..9) > 0 {
                continue;
            }
            while !rows.copy(&mut class, 3) {
                rows.render();
            }
            rows.render();
            let minutes = class.minutes_since(Micros::MIN);
            let now = class.last_received_at().expect("an event");
            let (mut rendered, mut expected) = (String::new(), String::new());
            write_members(&mut rows, &minutes, now, ALL_PARTS, &mut rendered);
            let mut restored = fresh().filled(class.snapshot(EventId(id)));
            write_summary(&mut restored, now, ALL_PARTS, &mut expected);
            assert_eq!(rendered, expected, "after {id}");
        }
    }
}

/// Bytes are counted as they change. In the end they are as if all entries were inserted at once.
#[test]
fn bytes_do_not_drift() {
    let fresh = || ClassState::bounded(5, 7, 15);
    let mut class = fresh();
    for id in 1..=5_000 {
        let (student, body) = (format!("s{}", fastrand::u8(..8)), random_body(id));
        let received_at = Micros(1_775_034_000_000_000 + id * 2_500_000);
        class.fold(&StoredEvent { id, class: "c", student: &student, received_at, body: &body });
    }
    let again = fresh().filled(class.snapshot(EventId(5_000)));
    assert_eq!(class.heap(), again.heap());
    assert!(class.weight() < 64 * 1024, "{}", class.weight());
}
