//! The shared vectors, and that neither portions nor snapshots change the state.

use std::sync::Arc;

use serde_json::Value;

use super::fold::cell::MAX_MESSAGES;
use super::live::rendered_rows::RenderedRows;
use super::live::rendered_summary::{ClassMembers, write_members, write_summary};
use super::{ClassState, SummaryParts, Tallies};
use crate::database::{CellKey, Changes, Snapshot, StudentCellKey};
use crate::event::{EventId, Micros, StoredEvent, parse_rfc3339};

const VECTORS: &str = include_str!("../../tests/vectors/state.json");

fn time(value: &Value) -> Micros {
    parse_rfc3339(value.as_str().expect("a time")).expect("a time")
}

fn fold(class: &mut ClassState, event: &Value) {
    with_stored(event, |event| class.fold(event));
}

/// Calls with an event as it is stored.
fn with_stored(event: &Value, act: impl FnOnce(&StoredEvent<'_>)) {
    let body = event.to_string();
    act(&StoredEvent {
        id: event["id"].as_i64().expect("an id"),
        class: event["classId"].as_str().expect("a class"),
        student: event["studentId"].as_str().expect("a student"),
        received_at: time(&event["receivedAt"]),
        body: &body,
    });
}

/// Folds a class's events; after a change of the settings, the lesson's again.
fn fold_all(class: &mut ClassState, events: &[Value]) {
    let mut at = 0;
    while let Some(event) = events.get(at) {
        fold(class, event);
        at += 1;
        if class.needs_refold() {
            let after = class.begin_refold();
            at = events.iter().filter(|event| event["id"].as_i64() <= Some(after.0)).count();
        }
    }
}

const ALL_PARTS: SummaryParts =
    SummaryParts { cells: true, grid: true, activity: true, settings: false };

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
        fold_all(&mut class, events(&case));
        let (summary, _) = summary(&mut class, time(&case["now"]));
        for (part, expected) in case["expect"].as_object().expect("the expected parts") {
            assert_eq!(&summary[part], expected, "{part} of {}", case["name"]);
        }
        assert_eq!(class.events(), events(&case).len() as i64);
    }
}

/// An export counts a lesson's events as the summary does.
#[test]
fn tallies_are_the_summarys_counts() {
    let mut compared = 0;
    for case in cases() {
        let mut class = ClassState::default();
        fold_all(&mut class, events(&case));
        let Some(lesson) = &class.lesson else { continue };
        let mut tallies = Tallies::new(Arc::clone(class.settings().0));
        for event in
            events(&case).iter().filter(|event| event["id"].as_i64() >= Some(lesson.first.0))
        {
            with_stored(event, |event| tallies.count(event));
        }
        for (id, tally) in tallies.take() {
            // The class stores fewer students than an export.
            let Some(student) = class.student(&id) else { continue };
            let names = (student.user_name.as_deref(), student.team_name.as_deref());
            let counts = (student.cells_executed as u64, student.error_count as u64);
            let what = format!("{id} of {}", case["name"]);
            assert_eq!((tally.runs, tally.failed_runs), counts, "{what}");
            // A name may be of an earlier lesson, or of an earlier roster.
            if lesson.first == EventId(1) && class.settings().1 == EventId::NONE {
                assert_eq!((tally.user_name(), tally.team_name()), names, "{what}");
            }
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

/// Rendering summaries in between, at any time, does not change the summary in the end.
#[test]
fn rendering_in_between_changes_nothing() {
    for case in cases() {
        let now = time(&case["now"]);
        for _ in 0..3 {
            let mut class = ClassState::default();
            let all = events(&case);
            for end in 1..=all.len() {
                // Events that are folded already change nothing.
                fold_all(&mut class, &all[..end]);
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
        fold_all(&mut class, events(&case));
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

/// An event of any kind, by clocks that are wrong at times.
fn random_body(n: i64) -> String {
    let kind = match fastrand::u16(..400) {
        0..3 => r#"lesson_started","title":"L"#,
        3..9 => r#"settings_changed"#,
        9..60 => "help",
        60..90 => "help_stop",
        90..120 => "help_resolved",
        120..150 => r#"help_claimed","actor":"ito"#,
        150..160 => "instructor_viewing",
        160..190 => "other",
        _ => "cell_executed",
    };
    let second = n / 4 + fastrand::i64(-8..8);
    format!(
        r#"{{"eventType":"{kind}","eventTime":"2026-04-01T09:{:02}:{:02}Z",
            "notebookPath":"n{}","cellId":"c{}","cellIndex":{},"sessionId":"k{}",
            "executionCount":{},"hasError":{},"errorMessage":"E{}","until":"{}",
            "settings":{{"cellsBy":"{}","notebooksBy":"name","stuckAfter":{},
            "roster":[{{"id":"s{}","name":"R"}},{{"id":"never"}}]}}}}"#,
        second.rem_euclid(3600) / 60,
        second.rem_euclid(60),
        fastrand::u8(..2),
        fastrand::u8(..6),
        fastrand::u8(..9),
        fastrand::u8(..2),
        fastrand::u8(..3),
        fastrand::bool(),
        fastrand::u8(..30),
        if fastrand::u8(..5) == 0 { "help_stop" } else { "" },
        if fastrand::bool() { "position" } else { "id" },
        fastrand::u8(..5),
        fastrand::u8(..8),
    )
}

/// The events of a class.
#[derive(Default)]
struct Log {
    events: Vec<(String, Micros, String)>,
    clock: Micros,
}

impl Log {
    /// Adds an event of any kind. Now and then it is of the next morning.
    fn add(&mut self) -> EventId {
        let id = self.events.len() as i64 + 1;
        let night = if fastrand::u8(..150) == 0 { 12 * 3_600_000_000 } else { 0 };
        self.clock = Micros(self.clock.0.max(1_775_034_000_000_000) + 2_500_000 + night);
        let student = format!("s{}", fastrand::u8(..8));
        self.events.push((student, self.clock, random_body(id)));
        EventId(id)
    }

    /// Folds the events that are not folded yet, as a replica does that has read them.
    fn fold_into(&self, class: &mut ClassState) {
        let mut next = class.last_event().0;
        while let Some((student, received_at, body)) = self.events.get(next as usize) {
            next += 1;
            let (id, received_at) = (next, *received_at);
            class.fold(&StoredEvent { id, class: "c", student, received_at, body });
            if class.needs_refold() {
                next = class.begin_refold().0;
            }
        }
    }
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
    tables.minutes.retain(|row| !changes.deleted_minutes.contains(&row.start));
    tables.lessons.retain(|row| !changes.deleted_lessons.contains(&row.first_event));
    let Snapshot { class, students, cells, student_cells, minutes, lessons } = changes.rows;
    tables.class = class;
    tables.students.retain(|row| !students.iter().any(|new| new.student_id == row.student_id));
    tables.students.extend(students);
    tables.cells.retain(|row| !cells.iter().any(|new| new.key() == row.key()));
    tables.cells.extend(cells);
    tables.student_cells.retain(|row| !student_cells.iter().any(|new| new.key() == row.key()));
    tables.student_cells.extend(student_cells);
    tables.minutes.retain(|row| !minutes.iter().any(|new| new.start == row.start));
    tables.minutes.extend(minutes);
    tables.lessons.retain(|row| !lessons.iter().any(|new| new.first_event == row.first_event));
    tables.lessons.extend(lessons);
    tables.sort();
}

/// However often changes are written, and the class is evicted and loaded again from the tables: in
/// the end it is the state that the events make. The bounds are so small that entries are evicted
/// all the time.
#[test]
fn portions_snapshots_and_bounds_change_nothing() {
    let mut lessons = 0;
    for _ in 0..40 {
        let fresh = || ClassState::bounded(5, 7, 15);
        let (mut whole, mut parts, mut tables) = (fresh(), fresh(), Snapshot::default());
        let mut log = Log::default();
        parts.track_changes(true);
        for _ in 1..=600 {
            let id = log.add();
            log.fold_into(&mut whole);
            log.fold_into(&mut parts);
            if fastrand::u8(..9) == 0 {
                write(&mut tables, parts.take_changes(id));
                assert_eq!(tables, whole.snapshot(id), "after {id:?}");
            }
            if fastrand::u8(..9) == 0 {
                // Changes that are not written are folded again from the events; here they are
                // written before the class is evicted.
                write(&mut tables, parts.take_changes(id));
                assert_eq!(tables, parts.snapshot(id));
                parts = fresh().filled(parts.snapshot(id));
                parts.track_changes(true);
            }
        }
        assert_eq!(parts.snapshot(EventId(600)), whole.snapshot(EventId(600)));
        lessons += tables.lessons.len();
    }
    assert!(lessons > 40, "{lessons}");
}

/// A class that is loaded at any moment, from its newest snapshot or from all of its events, is as
/// one that has folded every event as it came.
#[test]
fn a_class_that_is_loaded_is_as_one_that_was_there() {
    for _ in 0..20 {
        let (mut live, mut log) = (ClassState::default(), Log::default());
        let mut snapshot = live.snapshot(EventId::NONE);
        for _ in 0..300 {
            let id = log.add();
            log.fold_into(&mut live);
            if fastrand::u8(..20) == 0 {
                snapshot = live.snapshot(id);
            }
            if fastrand::u8(..20) == 0 {
                let mut loaded = ClassState::restore(std::mem::take(&mut snapshot));
                log.fold_into(&mut loaded);
                assert_eq!(loaded.snapshot(id), live.snapshot(id));
                snapshot = loaded.snapshot(id);
            }
        }
        let mut loaded = ClassState::default();
        log.fold_into(&mut loaded);
        assert_eq!(loaded.snapshot(EventId(300)), live.snapshot(EventId(300)));
    }
}

/// Rows that are copied in portions, at any time and with events between them, are those that are
/// copied at once. The bounds are so small that entries are evicted all the time.
#[test]
fn a_copy_in_portions_is_the_state() {
    let fresh = || ClassState::bounded(5, 7, 15);
    for _ in 0..30 {
        let (mut class, mut rows) = (fresh(), RenderedRows::default());
        let mut log = Log::default();
        for _ in 1..=600 {
            let id = log.add();
            log.fold_into(&mut class);
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
            let members = ClassMembers::of(&class);
            let now = class.last_received_at().unwrap_or(Micros(0));
            let (mut rendered, mut expected) = (String::new(), String::new());
            write_members(&mut rows, &members, now, ALL_PARTS, &mut rendered);
            let mut restored = fresh().filled(class.snapshot(id));
            write_summary(&mut restored, now, ALL_PARTS, &mut expected);
            assert_eq!(rendered, expected, "after {id:?}");
        }
    }
}

/// Bytes are counted as they change. In the end they are as if all entries were inserted at once.
#[test]
fn bytes_do_not_drift() {
    let fresh = || ClassState::bounded(5, 7, 15);
    let (mut class, mut log) = (fresh(), Log::default());
    let mut id = EventId::NONE;
    for _ in 1..=5_000 {
        id = log.add();
        log.fold_into(&mut class);
    }
    let again = fresh().filled(class.snapshot(id));
    assert_eq!(class.heap(), again.heap());
    assert!(class.weight() < 64 * 1024, "{}", class.weight());
}
