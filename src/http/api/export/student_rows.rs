//! CSV with a row for each student.
//!
//! The counts are those of the exported events alone, by the rules of the class's state. A
//! student's row can only be written when the last event has been read, so the counts are held in
//! memory until then, within the budget of answers.

use std::sync::Arc;

use super::spreadsheet::{write_text, write_time, zone_name};
use crate::event::{Micros, StoredEvent};
use crate::http::budget::{AnswerBudget, Reservation};
use crate::state::{Settings, StudentTally, Tallies};

/// The most bytes of counts: the budget lets one answer that is alone grow beyond it.
const MAX_BYTES: usize = 64 << 20;
/// How the budget grows: by so many bytes at a time.
const STEP: usize = 1 << 20;
/// Bytes of rows that are handed out at a time.
const PIECE_BYTES: usize = 64 * 1024;

const COLUMNS: [&str; 11] = [
    "studentId",
    "userName",
    "teamName",
    "runs",
    "failedRuns",
    "cellsRun",
    "cellsSucceeded",
    "notebooks",
    "handsRaised",
    "events",
    "unconfigured",
];

/// The counts of each student, and then their rows.
#[derive(Debug)]
pub(super) struct StudentRows {
    offset: i64,
    tallies: Tallies,
    room: Reservation,
    reserved: usize,
    /// The students that are not written yet, in order.
    unwritten: Option<std::vec::IntoIter<(Box<str>, StudentTally)>>,
}

/// There is no room in the budget for the counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

impl StudentRows {
    /// Without any student, of a class with these settings. The times of the rows are `offset`
    /// seconds ahead of UTC.
    pub(super) fn new(offset: i64, settings: Arc<Settings>, answers: &AnswerBudget) -> Self {
        let (tallies, room) = (Tallies::new(settings), answers.begin());
        Self { offset, tallies, room, reserved: 0, unwritten: None }
    }

    /// Counts an event.
    ///
    /// # Errors
    /// If there is no room for what it adds.
    pub(super) fn count(&mut self, event: &StoredEvent<'_>) -> Result<(), NoRoom> {
        self.tallies.count(event);
        self.reserve()
    }

    fn reserve(&mut self) -> Result<(), NoRoom> {
        while self.tallies.bytes() > self.reserved {
            if self.reserved + STEP > MAX_BYTES || !self.room.grow(self.reserved + STEP) {
                return Err(NoRoom);
            }
            self.reserved += STEP;
        }
        Ok(())
    }

    /// The names of the columns.
    pub(super) fn write_heading(&self, out: &mut String) {
        out.push_str(&COLUMNS.join(","));
        let zone = zone_name(self.offset);
        out.push_str(&format!(
            ",firstEvent ({zone}),lastEvent \
             ({zone}),firstEventAt,lastEventAt\r\n"
        ));
    }

    /// The next rows, in the order of the ids; none once all were written.
    pub(super) fn next_rows(&mut self) -> Option<String> {
        let tallies = &mut self.tallies;
        let unwritten = self.unwritten.get_or_insert_with(|| tallies.take().into_iter());
        let mut out = String::new();
        while out.len() < PIECE_BYTES
            && let Some((id, student)) = unwritten.next()
        {
            write_row(&id, &student, self.offset, &mut out);
        }
        Some(out).filter(|out| !out.is_empty())
    }
}

fn write_row(id: &str, student: &StudentTally, offset: i64, out: &mut String) {
    write_text(id, out);
    for name in [student.user_name(), student.team_name()] {
        out.push(',');
        write_text(name.unwrap_or_default(), out);
    }
    for count in [
        student.runs,
        student.failed_runs,
        student.cells,
        student.cells_succeeded,
        student.notebooks,
        student.hands,
        student.events,
    ] {
        out.push(',');
        out.push_str(&count.to_string());
    }
    out.push_str(if student.is_unconfigured { ",true" } else { "," });
    let (first, last): (Micros, Micros) = student.moments.unwrap_or_default();
    for moment in [first, last] {
        out.push(',');
        write_time(moment, offset, out);
    }
    for moment in [first, last] {
        out.push(',');
        out.push_str(&moment.to_rfc3339());
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    /// 2026-04-01T00:00:00Z: a client's clock does not show the years before 2000.
    const BEGIN: Micros = Micros(1_775_001_600_000_000);

    fn empty(answers: &AnswerBudget) -> StudentRows {
        StudentRows::new(0, Arc::default(), answers)
    }

    fn rows(events: &[(&str, i64, &str)]) -> String {
        let mut rows = empty(&AnswerBudget::new(8 << 20));
        for (id, (student, second, members)) in (1..).zip(events) {
            let received_at = Micros(BEGIN.0 + second * SECOND);
            let time = received_at.to_rfc3339();
            let body = format!(r#"{{"eventTime":"{time}",{members}}}"#);
            let event = StoredEvent { id, class: "c", student, received_at, body: &body };
            rows.count(&event).expect("room");
        }
        std::iter::from_fn(|| rows.next_rows()).collect()
    }

    fn run(cell: &str, count: u32, failed: bool) -> String {
        format!(
            r#""eventType":"cell_executed","sessionId":"x","notebookPath":"n","cellId":"{cell}",
               "cellType":"code","executionCount":{count},"hasError":{failed}"#
        )
    }

    #[test]
    fn each_student_has_a_row_with_its_counts() {
        let help = r#""eventType":"help""#;
        let found = rows(&[
            ("s2", 10, r#""eventType":"notebook_opened","userName":"B","notebookPath":"m""#),
            ("s1", 11, r#""eventType":"notebook_opened","userName":"A","teamName":"=T""#),
            ("s1", 20, &run("a", 1, true)),
            // The same run once more, and the cell again.
            ("s1", 22, &run("a", 1, true)),
            ("s1", 30, &run("a", 2, false)),
            ("s1", 40, &run("b", 3, true)),
            // An aborted cell is no run.
            ("s1", 41, r#""eventType":"cell_executed","cellType":"code","hasError":false"#),
            ("s2", 50, help),
            ("s2", 60, help),
            ("s2", 61, r#""eventType":"help_resolved""#),
            // The client has not heard yet that the hand was lowered.
            ("s2", 70, help),
            ("s2", 200, help),
            ("nobody", 201, r#""eventType":"lesson_started""#),
        ]);
        assert_eq!(
            found,
            concat!(
                "s1,A,\"'=T\",3,2,2,1,1,0,5,,",
                "\"2026-04-01 00:00:11\",\"2026-04-01 00:00:41\",",
                "2026-04-01T00:00:11.000000Z,2026-04-01T00:00:41.000000Z\r\n",
                "s2,B,,0,0,0,0,1,2,5,,",
                "\"2026-04-01 00:00:10\",\"2026-04-01 00:03:20\",",
                "2026-04-01T00:00:10.000000Z,2026-04-01T00:03:20.000000Z\r\n"
            )
            .replace('"', "")
            .replace("'=T", "\"'=T\"")
        );
    }

    #[test]
    fn an_event_that_comes_late_does_not_say_how_the_cell_stands() {
        let late = run("a", 1, true)
            .replace("\"eventType\"", "\"eventTime\":\"2026-04-01T00:00:10Z\",\"eventType\"");
        let found = rows(&[("s", 30, &run("a", 2, false)), ("s", 40, &late)]);
        assert!(found.starts_with("s,,,2,1,1,1,1,0,2,,"), "{found}");
    }

    #[test]
    fn the_counts_take_their_part_of_the_budget() {
        let answers = AnswerBudget::new(4 << 20);
        let mut other = answers.begin();
        assert!(other.grow(2 << 20));
        let mut rows = empty(&answers);
        let mut counted = 0;
        let end = loop {
            let student = format!("student {counted}");
            let event = StoredEvent {
                id: 1,
                class: "c",
                student: &student,
                received_at: Micros(0),
                body: r#"{"eventType":"help"}"#,
            };
            match rows.count(&event) {
                Ok(()) if counted < 100_000 => counted += 1,
                end => break end,
            }
        };
        assert_eq!(end, Err(NoRoom));
        assert!((2_000..5_000).contains(&counted), "{counted}");
        drop(rows);
        assert!(empty(&answers).reserve().is_ok());
    }
}
