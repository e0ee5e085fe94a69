//! CSV with a row for each student.
//!
//! The counts are those of the exported events alone, by the rules of the class's state: what a run
//! is, and when a run is the repeat of another. A student's row can only be written when the last
//! event has been read, so the counts are held in memory until then, within the budget of answers.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::members::Members;
use super::spreadsheet::{write_text, write_time, zone_name};
use crate::event::{Micros, StoredEvent};
use crate::http::budget::{AnswerBudget, Reservation};

/// A run of one execution count that comes again within this time is the same run, sent twice.
const REPEAT_WINDOW: Duration = Duration::from_secs(5);
/// A hand for which no `help` comes for so long is down.
const HELP_LAPSE: Duration = Duration::from_secs(75);
/// Bytes that a student, a cell and a notebook of a student take beside their texts, the maps' own
/// included.
const STUDENT_BYTES: usize = 512;
const CELL_BYTES: usize = 96;
const NOTEBOOK_BYTES: usize = 24;
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

/// The counts of each student.
#[derive(Debug)]
pub(super) struct StudentRows {
    offset: i64,
    students: HashMap<String, Counted>,
    /// Each student's last run of each cell, by a hash of both: of 100,000 pairs, two have one hash
    /// with a chance of one in three billion.
    cells: HashMap<u64, LastRun>,
    /// Each student's notebooks, by a hash of both.
    notebooks: HashSet<u64>,
    room: Reservation,
    used: usize,
    reserved: usize,
    /// The students that are not written yet, in the reverse of their order.
    unwritten: Option<Vec<(String, Counted)>>,
}

/// One student's counts.
#[derive(Debug, Default)]
struct Counted {
    user_name: Option<Box<str>>,
    team_name: Option<Box<str>>,
    events: u64,
    runs: u64,
    failed_runs: u64,
    cells: u64,
    cells_succeeded: u64,
    notebooks: u64,
    hands: u64,
    /// When the hand that is up goes down by itself.
    hand_until: Option<Micros>,
    first: Option<Micros>,
    last: Option<Micros>,
    unconfigured: bool,
}

/// The last run of a cell.
#[derive(Debug)]
struct LastRun {
    session: u64,
    execution_count: Option<u64>,
    at: Micros,
    failed: bool,
}

/// There is no room in the budget for the counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

impl StudentRows {
    /// Without any student. The times of the rows are `offset` seconds ahead of UTC.
    pub(super) fn new(offset: i64, answers: &AnswerBudget) -> Self {
        Self {
            offset,
            students: HashMap::new(),
            cells: HashMap::new(),
            notebooks: HashSet::new(),
            room: answers.begin(),
            used: 0,
            reserved: 0,
            unwritten: None,
        }
    }

    /// Counts an event.
    ///
    /// # Errors
    /// If there is no room for what it adds.
    pub(super) fn count(&mut self, event: &StoredEvent<'_>) -> Result<(), NoRoom> {
        let members = Members::of(event);
        let resolves = members.text("eventType").as_deref() == Some("help_resolved");
        if members.is_act() {
            if let Some(student) = self.students.get_mut(event.student).filter(|_| resolves) {
                student.hand_until = None;
            }
            return Ok(());
        }
        let path = members.text("notebookPath").map(|path| hash(&*path));
        let run = if members.is_run() { Some(self.run(event, &members, path)) } else { None };
        if run == Some(Run::Repeat) {
            return Ok(());
        }
        if !self.students.contains_key(event.student) {
            self.used += STUDENT_BYTES + event.student.len();
        }
        let student = self.students.entry(event.student.to_owned()).or_default();
        let before = student.weight();
        student.add(event, &members);
        if path.is_some() && self.notebooks.insert(hash((event.student, path))) {
            student.notebooks += 1;
            self.used += NOTEBOOK_BYTES;
        }
        if let Some(Run::New { failed, succeeded, first }) = run {
            student.runs += 1;
            student.failed_runs += u64::from(failed);
            student.cells += u64::from(first);
            student.cells_succeeded = student.cells_succeeded.saturating_add_signed(succeeded);
        }
        self.used = (self.used + student.weight()).saturating_sub(before);
        self.reserve()
    }

    fn reserve(&mut self) -> Result<(), NoRoom> {
        while self.used > self.reserved {
            if self.reserved + STEP > MAX_BYTES || !self.room.grow(self.reserved + STEP) {
                return Err(NoRoom);
            }
            self.reserved += STEP;
        }
        Ok(())
    }

    /// Notes a run of a cell, and what it changes.
    fn run(&mut self, event: &StoredEvent<'_>, members: &Members<'_>, path: Option<u64>) -> Run {
        let failed = members.failed();
        let Some(cell) = members.cell() else {
            return Run::New { failed, succeeded: 0, first: false };
        };
        let count = members.value("executionCount").map(hash);
        let run = LastRun {
            session: hash(members.text("sessionId")),
            execution_count: count,
            at: members.event_time().unwrap_or(event.received_at),
            failed,
        };
        match self.cells.entry(hash((event.student, path, &*cell))) {
            Entry::Vacant(entry) => {
                entry.insert(run);
                self.used += CELL_BYTES;
                Run::New { failed, succeeded: i64::from(!failed), first: true }
            }
            Entry::Occupied(mut entry) => {
                let last = entry.get_mut();
                let is_repeat = count.is_some()
                    && last.execution_count == count
                    && last.session == run.session
                    && last.at.distance(run.at) <= REPEAT_WINDOW;
                if is_repeat {
                    return Run::Repeat;
                }
                let mut succeeded = 0;
                // One that comes late counts, but the later one says how the cell stands.
                if run.at >= last.at {
                    succeeded = i64::from(!failed) - i64::from(!last.failed);
                    *last = run;
                }
                Run::New { failed, succeeded, first: false }
            }
        }
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
        let students = &mut self.students;
        let unwritten = self.unwritten.get_or_insert_with(|| {
            let mut all: Vec<_> = students.drain().collect();
            all.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
            all
        });
        let mut out = String::new();
        while out.len() < PIECE_BYTES
            && let Some((id, student)) = unwritten.pop()
        {
            student.write(&id, self.offset, &mut out);
        }
        Some(out).filter(|out| !out.is_empty())
    }
}

/// What a run changes.
#[derive(Debug, PartialEq, Eq)]
enum Run {
    /// It is another's copy.
    Repeat,
    /// Whether it failed, what it adds to the cells that stand succeeded, and whether it is the
    /// first of its cell.
    New { failed: bool, succeeded: i64, first: bool },
}

impl Counted {
    fn weight(&self) -> usize {
        let names = [&self.user_name, &self.team_name];
        names.into_iter().flatten().map(|name| name.len()).sum::<usize>()
    }

    fn add(&mut self, event: &StoredEvent<'_>, members: &Members<'_>) {
        let moment = members.moment(event.received_at);
        self.events += 1;
        self.unconfigured |= members.value("unconfigured") == Some("true");
        if self.last.is_none_or(|last| moment >= last) {
            for (name, key) in
                [(&mut self.user_name, "userName"), (&mut self.team_name, "teamName")]
            {
                if let Some(text) = members.text(key)
                    && name.as_deref() != Some(&*text)
                {
                    *name = Some((&*text).into());
                }
            }
        }
        self.first = Some(self.first.map_or(moment, |first| first.min(moment)));
        self.last = self.last.max(Some(moment));
        match members.text("eventType").as_deref() {
            Some("help") => {
                let is_up = self.hand_until.is_some_and(|until| event.received_at < until);
                self.hands += u64::from(!is_up);
                self.hand_until = Some(event.received_at + HELP_LAPSE);
            }
            Some("help_stop") => self.hand_until = None,
            _ => {}
        }
    }

    fn write(&self, id: &str, offset: i64, out: &mut String) {
        let optional = |text: &Option<Box<str>>, out: &mut String| {
            out.push(',');
            write_text(text.as_deref().unwrap_or_default(), out);
        };
        write_text(id, out);
        optional(&self.user_name, out);
        optional(&self.team_name, out);
        for count in [
            self.runs,
            self.failed_runs,
            self.cells,
            self.cells_succeeded,
            self.notebooks,
            self.hands,
            self.events,
        ] {
            out.push(',');
            out.push_str(&count.to_string());
        }
        out.push_str(if self.unconfigured { ",true" } else { "," });
        let moments = [self.first, self.last].map(Option::unwrap_or_default);
        for moment in moments {
            out.push(',');
            write_time(moment, offset, out);
        }
        for moment in moments {
            out.push(',');
            out.push_str(&moment.to_rfc3339());
        }
        out.push_str("\r\n");
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn rows(events: &[(&str, i64, &str)]) -> String {
        let mut rows = StudentRows::new(0, &AnswerBudget::new(8 << 20));
        for (student, second, members) in events {
            let received_at = Micros(second * SECOND);
            let time = received_at.to_rfc3339();
            let body = format!(r#"{{"eventTime":"{time}",{members}}}"#);
            let event = StoredEvent { id: 1, class: "c", student, received_at, body: &body };
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
            ("s2", 70, help),
            ("s2", 200, help),
            ("nobody", 201, r#""eventType":"lesson_started""#),
        ]);
        assert_eq!(
            found,
            concat!(
                "s1,A,\"'=T\",3,2,2,1,1,0,5,,",
                "\"1970-01-01 00:00:11\",\"1970-01-01 00:00:41\",",
                "1970-01-01T00:00:11.000000Z,1970-01-01T00:00:41.000000Z\r\n",
                "s2,B,,0,0,0,0,1,3,5,,",
                "\"1970-01-01 00:00:10\",\"1970-01-01 00:03:20\",",
                "1970-01-01T00:00:10.000000Z,1970-01-01T00:03:20.000000Z\r\n"
            )
            .replace('"', "")
            .replace("'=T", "\"'=T\"")
        );
    }

    #[test]
    fn an_event_that_comes_late_does_not_say_how_the_cell_stands() {
        let late = run("a", 1, true)
            .replace("\"eventType\"", "\"eventTime\":\"1970-01-01T00:00:10Z\",\"eventType\"");
        let found = rows(&[("s", 30, &run("a", 2, false)), ("s", 40, &late)]);
        assert!(found.starts_with("s,,,2,1,1,1,1,0,2,,"), "{found}");
    }

    #[test]
    fn the_counts_take_their_part_of_the_budget() {
        let answers = AnswerBudget::new(4 << 20);
        let mut other = answers.begin();
        assert!(other.grow(2 << 20));
        let mut rows = StudentRows::new(0, &answers);
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
        assert!(StudentRows::new(0, &answers).reserve().is_ok());
    }
}
