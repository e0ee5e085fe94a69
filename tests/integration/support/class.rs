//! Random events of a class, and the state of a class as a dashboard has it.

use progress_relay::database::{
    CellRow, ClassRow, LastRunColumns, LessonColumns, MinuteRow, Snapshot, StreakColumn,
    StudentCellRow, StudentRow, TopError,
};
use progress_relay::event::{EventId, Micros, StoredEvent};
use progress_relay::state::{ClassState, SummaryParts, write_summary};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The moment of a time in JSON.
pub fn micros(time: &Value) -> Micros {
    let text = time.as_str().unwrap_or_else(|| panic!("a time: {time}"));
    let moment = OffsetDateTime::parse(text, &Rfc3339).expect("RFC 3339");
    Micros(i64::try_from(moment.unix_timestamp_nanos() / 1000).expect("a time of ours"))
}

fn one_of<T: Copy>(of: &[T]) -> T {
    of[fastrand::usize(..of.len())]
}

/// A random event of a student, with the time of a clock that is sometimes wrong.
pub fn random_event(class: &str, students: usize) -> Value {
    let now = OffsetDateTime::now_utc()
        + time::Duration::milliseconds(match fastrand::u8(..10) {
            0 => fastrand::i64(-3_600_000..3_600_000),
            1..3 => fastrand::i64(-3_000..3_000),
            _ => 0,
        });
    let kind = match fastrand::u8(..20) {
        0..12 => "cell_executed",
        12..15 => "help",
        15 => "help_stop",
        16 => "notebook_opened",
        17 => "notebook_closed",
        18 => "coffee_break",
        _ => "notebook_saved",
    };
    let student = fastrand::usize(..students);
    let mut event = json!({
        "eventId": uuid::Uuid::new_v4().to_string(),
        "eventType": kind,
        "eventTime": now.format(&Rfc3339).expect("a time"),
        "classId": class,
        "userId": format!("s{student:03}"),
        "userName": format!("Student \u{1f600} {}", student),
        "sessionId": format!("k{}", fastrand::u8(..2)),
        "notebookPath": format!("{}lesson{}.ipynb", one_of(&["", "RTC:", "./", "own/"]),
            one_of(&["0", "1", "1-Copy1"])),
    });
    // A class of one student has that one alone.
    if students > 1 && fastrand::u8(..30) == 0 {
        event["userId"] = "student001@example.com".into();
        event["sessionId"] = format!("unconfigured-{}", fastrand::u8(..5)).into();
    }
    if kind == "help" && fastrand::bool() {
        event["until"] = "help_stop".into();
    }
    if kind == "cell_executed" {
        let cell = fastrand::u8(..12);
        event["cellId"] = format!("cell-{cell}").into();
        event["cellIndex"] = cell.into();
        event["executionCount"] = fastrand::u8(..5).into();
        if fastrand::u8(..6) == 0 {
            // An aborted cell, or one of text.
            event["cellType"] = one_of(&["code", "markdown"]).into();
            event.as_object_mut().expect("an object").remove("executionCount");
        } else if fastrand::u8(..3) == 0 {
            event["hasError"] = true.into();
            event["errorMessage"] = format!("Error{}: no", fastrand::u8(..30)).into();
        }
    }
    event
}

fn text(value: &Value) -> Option<Box<str>> {
    value.as_str().map(Box::from)
}

fn time(value: &Value) -> Option<Micros> {
    value.as_str().map(|_| micros(value))
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("a number: {value}"))
}

/// The state in a summary with all its parts, to be folded forward as a dashboard does.
pub fn state_of(summary: &Value) -> ClassState {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut snapshot = Snapshot::default();
    for (index, student) in list(&summary["students"]).iter().enumerate() {
        let run = &student["lastRun"];
        let last_run = run.as_object().map(|_| LastRunColumns {
            session_id: text(&run["sessionId"]),
            notebook_path: text(&run["notebookPath"]),
            cell_id: text(&run["cellId"]),
            execution_count: run["executionCount"].as_i64(),
            at: micros(&run["at"]),
            received_at: micros(&run["receivedAt"]),
        });
        snapshot.students.push(StudentRow {
            student_id: text(&student["studentId"]).expect("a name"),
            last_event: EventId(index as i64),
            user_name: text(&student["userName"]),
            team_name: text(&student["teamName"]),
            notebook_path: text(&student["notebookPath"]),
            cell_id: text(&student["cellId"]),
            cell_index: student["cellIndex"].as_i64(),
            last_event_type: text(&student["lastEventType"]),
            last_event_time: micros(&student["lastEventTime"]),
            last_received_at: micros(&student["lastReceivedAt"]),
            cells_executed: number(&student["cellsExecuted"]),
            error_count: number(&student["errorCount"]),
            streaks: list(&student["streaks"]).iter().map(streak).collect(),
            last_run,
            help_since: time(&student["helpSince"]),
            last_help_at: time(&student["lastHelpAt"]),
            hand_closed: student["handClosed"].as_bool().expect("a boolean"),
            hand_lowered_at: time(&student["handLoweredAt"]),
            is_here: true,
            is_unconfigured: student["unconfigured"] == true,
            help_message: text(&student["helpMessage"]),
            help_until_stop: student["helpUntilStop"] == true,
            claim: text(&student["helpClaimedBy"]).zip(time(&student["helpClaimedAt"])),
        });
    }
    for (index, student) in list(&summary["absent"]).iter().enumerate() {
        let last_seen = time(&student["lastReceivedAt"]).unwrap_or_default();
        snapshot.students.push(StudentRow {
            student_id: text(&student["studentId"]).expect("a name"),
            last_event: EventId(-1 - index as i64),
            user_name: text(&student["userName"]),
            team_name: text(&student["teamName"]),
            last_event_time: last_seen,
            last_received_at: last_seen,
            ..StudentRow::default()
        });
    }
    let cells = list(&summary["cells"]);
    let name = |cell: &Value| {
        (text(&cell["notebookPath"]).unwrap_or_default(), text(&cell["cellId"]).expect("a cell"))
    };
    for (index, cell) in cells.iter().enumerate() {
        let errors = list(&cell["topErrors"]);
        let top_errors = errors.iter().map(|error| TopError {
            message: text(&error["message"]).expect("a message"),
            count: number(&error["count"]),
        });
        let (notebook_path, cell_id) = name(cell);
        snapshot.cells.push(CellRow {
            notebook_path,
            cell_id,
            last_event: EventId(index as i64),
            cell_index: cell["cellIndex"].as_i64(),
            runs: number(&cell["runs"]),
            failed_runs: number(&cell["failedRuns"]),
            students: number(&cell["students"]),
            failing_students: number(&cell["failingStudents"]),
            top_errors: top_errors.collect(),
        });
    }
    let mut event = 0;
    for row in list(&summary["grid"]) {
        for runs in list(&row["runs"]) {
            let (notebook, id) = name(&cells[number(&runs[0]) as usize]);
            event += 1;
            let student = text(&row["studentId"]).expect("a name");
            snapshot.student_cells.push(StudentCellRow {
                student_id: student.into(),
                notebook_path: notebook.into(),
                cell_id: id.into(),
                last_event: EventId(event),
                runs: number(&runs[1]),
                failed_runs: number(&runs[2]),
                failed: runs[3].as_bool().expect("a boolean"),
                last_run_at: micros(&runs[4]),
                last_run_execution_count: runs[5].as_i64(),
                last_run_session_id: runs[6]
                    .as_u64()
                    .and_then(|session| text(&row["sessions"][session as usize])),
                last_run_time: time(&runs[7]).unwrap_or_else(|| micros(&runs[4])),
                // The summary has no event ids of runs.
                last_run_event: EventId(0),
            });
        }
    }
    for minute in list(&summary["activity"]) {
        let (runs, errors, help) =
            (number(&minute["runs"]), number(&minute["errors"]), number(&minute["help"]));
        snapshot.minutes.push(MinuteRow { start: micros(&minute["start"]), runs, errors, help });
    }
    let cursor = summary["cursor"].as_str().expect("a cursor");
    let last_event = EventId(cursor_id(cursor));
    let lesson = &summary["lesson"];
    snapshot.class = ClassRow {
        last_event,
        last_received_at: time(&lesson["lastReceivedAt"]),
        lesson: text(&lesson["id"]).map(|id| LessonColumns {
            first_event: EventId(id.parse().expect("an id")),
            started_at: micros(&lesson["startedAt"]),
            events_before: 0,
            title: text(&lesson["title"]),
        }),
        settings: summary["settings"].to_string().into(),
        // Settings from before do not count again.
        settings_event: last_event,
        ..ClassRow::default()
    };
    ClassState::restore(snapshot)
}

fn streak(streak: &Value) -> StreakColumn {
    StreakColumn {
        notebook_path: text(&streak["notebookPath"]),
        cell_id: text(&streak["cellId"]),
        cell_index: streak["cellIndex"].as_i64(),
        failures: number(&streak["failures"]),
        failed_at: micros(&streak["failedAt"]),
    }
}

/// The id in a cursor.
pub fn cursor_id(cursor: &str) -> i64 {
    cursor
        .rsplit_once('.')
        .and_then(|(_, id)| id.parse().ok())
        .unwrap_or_else(|| panic!("a cursor: {cursor}"))
}

/// Folds an event in the form in which it was delivered.
pub fn fold(state: &mut ClassState, event: &Value) {
    let body = event.to_string();
    state.fold(&StoredEvent {
        id: event["id"].as_i64().expect("an id"),
        class: event["classId"].as_str().expect("a class"),
        student: event["studentId"].as_str().expect("a student"),
        received_at: micros(&event["receivedAt"]),
        body: &body,
    });
}

/// Folds a class's events in the form in which they were delivered; after a change of the settings,
/// the lesson's again.
pub fn fold_all(state: &mut ClassState, events: &[Value]) {
    let mut at = 0;
    while let Some(event) = events.get(at) {
        fold(state, event);
        at += 1;
        if state.needs_refold() {
            let after = state.begin_refold().0;
            at = events.partition_point(|event| event["id"].as_i64() <= Some(after));
        }
    }
}

/// A random act of an instructor, as the relay stores it.
pub fn random_act(class: &str, students: usize) -> Value {
    let student = format!("s{:03}", fastrand::usize(..students));
    let mut act = json!({"classId": class, "userId": student, "actor": "ito"});
    act["eventType"] = match fastrand::u8(..10) {
        0 => "lesson_started",
        1..4 => "settings_changed",
        4..7 => "help_claimed",
        _ => "help_resolved",
    }
    .into();
    act["settings"] = random_settings();
    if fastrand::bool() {
        act["released"] = true.into();
    }
    act
}

/// Random settings of a class.
pub fn random_settings() -> Value {
    let roster: Vec<Value> = (0..fastrand::usize(..4))
        .map(|n| json!({"id": format!("s{:03}", n * 7), "name": format!("Enrolled {n}")}))
        .collect();
    json!({
        "cellsBy": one_of(&["position", "id"]),
        "notebooksBy": one_of(&["name", "path"]),
        "stuckAfter": fastrand::u8(1..5),
        "roster": roster,
    })
}

/// The members of a summary without the times and states that depend on the time of the request.
pub fn without_times(mut summary: Value) -> Value {
    for student in summary["students"].as_array_mut().into_iter().flatten() {
        let Some(student) = student.as_object_mut() else { continue };
        student.remove("status");
        student.remove("statusUntil");
    }
    let part = |name: &str| summary[name].clone();
    json!({
        "lesson": part("lesson"),
        "absent": part("absent"),
        "students": part("students"),
        "cells": part("cells"),
        "grid": part("grid"),
        "activity": part("activity"),
    })
}

const ALL_PARTS: SummaryParts =
    SummaryParts { cells: true, grid: true, activity: true, settings: false };

/// The summary of a state at the time `now`, with all parts and without the members before `now`.
pub fn summary_of(state: &mut ClassState, now: Micros) -> Value {
    let mut out = String::from("{");
    write_summary(state, now, ALL_PARTS, &mut out);
    out.push('}');
    serde_json::from_str(&out).expect("JSON")
}
