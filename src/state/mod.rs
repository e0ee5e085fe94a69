//! Class state: the state of each class in its current lesson, derived from its events. It is a
//! pure fold over the events in the order of their ids, held in memory for the classes in use, with
//! snapshots in PostgreSQL.
//!
//! - [`fold`]: the fold, with a file for each thing that the rules below are about
//! - [`live`]: the classes in memory, kept up to date by the tail
//! - [`snapshot`]: the state as rows of the database, and back; [`view`]: the state as JSON
//! - [`rebuild`]: makes snapshots from the events again, and compares
//!
//! The snapshots of the classes in memory are written by `housekeeping`, on one elected replica.
//!
//! # The rules
//!
//! The dashboard's own fold has the same rules; `tests/vectors/state.json` has a case for each.
//!
//! Reading an event, by the settings of its class:
//!
//! - A text that is empty, not a string, or over 1,024 bytes is absent; so is a number that is not
//!   an integer within ±(2^53 − 1). An `eventTime` that is not an RFC 3339 time with an offset in
//!   the years 2000 to 2100 is replaced by the event's `receivedAt`. Times are cut below a
//!   microsecond. A `receivedAt` before 1900 or after 2199 is moved to the nearest microsecond of
//!   those years. An event's *moment* is the lesser of `eventTime` and `receivedAt`.
//! - A `cell_executed` is a *run* if its `cellType` is absent, or is `code` and there is an
//!   `executionCount` or `hasError` is `true`. Any other one is activity: clients report aborted,
//!   empty and markdown cells too.
//! - The notebook is the `notebookPath` without a drive's prefix (`RTC:`) and without `./` and `/`
//!   in front; with `notebooksBy: "name"` the file's name, without the `-Copy1` of a copy. The cell
//!   is the `cellId`, or `#` and the `cellIndex` if there is no id; with `cellsBy: "position"` it
//!   is `#` and the `cellIndex`, or the `cellId` if there is no index.
//! - An error's message is the first line of `errorMessage` that is not empty, cut to 200
//!   characters. Messages are counted as one if they are equal with each of these words replaced:
//!   `0x` and 4 hexadecimal digits or more, 7 digits or more, `ipykernel_` and digits, a UUID, and
//!   12 hexadecimal digits or more, of which at least one is a letter and one is not; and digits
//!   before `.py`, in `In[…]` or `In […]`, and behind `ipython-input-`.
//! - What a `help` says is its `message` if that is a text that is not empty, cut to 200
//!   characters.
//! - `help_resolved`, `help_claimed`, `lesson_started`, `settings_changed`, `student_erased`,
//!   `class_deleted` and `instructor_viewing` are the relay's: no activity of a student, and they
//!   make no student. `instructor_viewing` changes nothing but the count of events.
//!
//! Lessons and settings:
//!
//! - A lesson begins with the class's first event, with an event that is received 6 hours or more
//!   after the newest one before it, with one 7 days or more after the lesson's first one, and with
//!   `lesson_started`. At its beginning counts, cells, pairs, minutes, hands and failures in a row
//!   begin with nothing. The students stay, with their names and `lastReceivedAt`; they are *not
//!   here* until an event of theirs is received.
//! - The lesson is folded by the newest `settings_changed` of the class, also its events before
//!   that one: then it is folded again from its first event. Members that are not usable are
//!   absent: see [`fold::settings`]. One with an integer `replaces` changes nothing if the settings
//!   were changed by an event after that one.
//! - With a roster, those of it who are not here are listed as such, and no others. Its names and
//!   teams count before those of the students' events.
//!
//! Students:
//!
//! - A run is a *repeat* if it has an `executionCount`, if that and the `sessionId` equal those of
//!   the pair's latest run (for a run without a cell: of `lastRun`, if that has no cell and the
//!   same notebook), and if its time is at most 5 s from that run's. A repeat changes nothing of
//!   the student.
//! - An event is *late* if its moment is before the lesser of the student's `lastEventTime` and
//!   `lastReceivedAt`; a run is a *late run* if its moment is before that of `lastRun`.
//! - `lastReceivedAt` is the greatest of all. Unless the event is late, `lastEventType` and
//!   `lastEventTime` become its own, and so do `userName` and `teamName` where it has them; another
//!   `notebookPath` replaces the student's and clears `cellId` and `cellIndex`; a cell replaces
//!   `cellId` and `cellIndex`.
//! - A run counts in `cellsExecuted` and, if `hasError` is `true`, in `errorCount`. Unless it is a
//!   late run, it becomes `lastRun`, and changes the failures in a row: a failure adds 1 to those
//!   of its cell, which becomes the last of `streaks`; a success ends those of its cell, and of the
//!   cells of the same notebook with a lower `cellIndex`. 16 cells are stored; of more, the one
//!   that failed longest ago is dropped. `consecutiveErrors` and `streakCell` are those of the
//!   last of `streaks`. An event that is received 30 min or more after the student's last one ends
//!   all failures in a row before it is folded.
//! - A `help` whose moment is within 10 s before `handLoweredAt` (excluding both ends) was
//!   overtaken by its `help_stop`, and changes nothing of the hand. Otherwise the hand goes up if
//!   `lastHelpAt` is absent; if the hand lapses or is closed, and `lastHelpAt` is at least 75 s
//!   before `receivedAt`; or if the hand is neither up nor closed: `helpSince` becomes
//!   `receivedAt`, `handClosed` false, and the claim is cleared. Unless the `help` was overtaken,
//!   `lastHelpAt` becomes the greatest `receivedAt`, and the hand lapses unless the `help` has
//!   `"until":"help_stop"`. `helpMessage` is what the hand's newest `help` that says something
//!   says; it goes with `helpSince`.
//! - `help_stop` clears `helpSince`, `lastHelpAt`, `handClosed` and the claim; `handLoweredAt`
//!   becomes its moment if that is greater. `help_resolved` clears `helpSince` and the claim and
//!   sets `handClosed`, if `helpSince` is set. `help_claimed` sets the claim, or with
//!   `"released":true` clears it, if the hand is up at its `receivedAt`.
//! - The status at `now` is the first of these that holds: `help` while `helpSince` is set, until
//!   75 s after `lastHelpAt` if the hand lapses; `stuck` with 3 failures in a row on a cell (or
//!   `stuckAfter`), until 30 min after `lastReceivedAt`; `error` with one or more, until 5 min
//!   after the last of them was received; `active` until 2 min (or `idleAfter`) after
//!   `lastReceivedAt`; `idle`. `statusUntil` is that end, exclusive.
//!
//! Cells:
//!
//! - A cell is a notebook and a cell in it. A run of a cell counts in its `runs` and, if it failed,
//!   in `failedRuns`; `cellIndex` is the last one that a run had. 20 messages are stored, each as
//!   it first came, ordered by count, of equal counts the one counted last first; a new one takes
//!   the last one's place. `students` and `failingStudents` count the stored pairs of student and
//!   cell.
//! - A pair's outcome is that of its run with the greatest moment; of equal moments, of the last
//!   one.
//! - Activity counts runs, failures and raised hands by the minute of `receivedAt`, for a day back
//!   from the newest minute.
//! - Of more than `MAX_STUDENTS` students, `MAX_CELLS` cells or `MAX_RUNS` pairs, the one that was
//!   touched by no event for longest is evicted.

mod fold;
mod live;
mod rebuild;
mod snapshot;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use fold::activity::{MAX_MINUTES, MINUTE, minute_of};
pub use fold::class::ClassState;
pub(crate) use fold::normalized_event::is_run;
pub(crate) use fold::settings::{MAX_ROSTER, Settings};
pub(crate) use fold::student::Student;
pub(crate) use fold::tally::{StudentTally, Tallies};
pub(crate) use live::class_table::Round;
pub(crate) use live::classes::Classes;
pub(crate) use live::earlier::FoundLesson;
pub(crate) use live::live_class::{TakenChanges, UnsavedChanges};
pub(crate) use live::load_error::LoadError;
pub use live::rendered_summary::write_summary;
pub(crate) use live::rendered_summary::{RenderedSummary, SharedReservation};
pub(crate) use rebuild::{RebuildError, Rebuilder};
pub use view::SummaryParts;
pub(crate) use view::buckets;
