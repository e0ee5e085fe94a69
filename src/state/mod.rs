//! Class state: what the events of a class come to. A pure fold over them in id order, kept in
//! memory for the classes in use, with snapshots in PostgreSQL.
//!
//! - `observed`: what the fold sees of an event; `student`, `cell`, `activity`: what it changes;
//!   `kept`: their bounds
//! - `class`: a class's fold; `drawing`: its rows, copied and rendered; `view`: how they are
//!   written on the wire; `snapshot`: to and from the tables' rows
//! - `classes`: those in use; `slot`: a place of one; `load`: how one comes in; `intake`: what the
//!   tail brings; `live`, `picture`: the pictures made of it; `unsaved`: what is not written yet,
//!   and which are let go
//! - `keeper`: writes the snapshots; `rebuild`: makes them anew from the events; `clock`: the
//!   database's
//!
//! # The rules
//!
//! Shared with the dashboard's own fold; `tests/vectors/state.json` has a case for each.
//!
//! - A text that is empty, no string, or over 1,024 bytes is absent; so is a number that is no
//!   integer within ±(2^53 − 1). An `eventTime` that is no RFC 3339 time with an offset in the
//!   years 2000 to 2100 is the event's `receivedAt`. Of times, what is below a microsecond is cut.
//!   An event's *moment* is the lesser of `eventTime` and `receivedAt`.
//! - `help_resolved` is an instructor's act and no event of the student's: of a known student whose
//!   `helpSince` is set it clears that and sets `handClosed`; it changes nothing else, and makes no
//!   student.
//! - A `cell_executed` is a *repeat* if its `executionCount` is there and it, `sessionId`,
//!   `notebookPath` and `cellId` are those of `lastRun` (absent equals absent), and its time is at
//!   most 5 s from `lastRun.at`. It changes nothing at all.
//! - An event is *late* if its moment is before the lesser of the student's `lastEventTime` and
//!   `lastReceivedAt`.
//! - `lastReceivedAt` is the greatest. Unless the event is late: `lastEventType` and
//!   `lastEventTime` are its own; `userName` and `teamName` too where it has them; another
//!   `notebookPath` replaces that and clears `cellId` and `cellIndex`; a `cellId` replaces both.
//! - A run counts in `cellsExecuted` and, if `hasError` is `true`, in `errorCount`. Unless it is
//!   late, it becomes `lastRun`, and: a success sets `consecutiveErrors` to 0 and clears
//!   `streakCell`; a failure of the cell (notebook and id) of the run before adds 1, of another
//!   cell starts at 1, with its `cellId` as `streakCell`.
//! - `help`: with a moment within 10 s before `handLoweredAt` (excluding both ends), it was
//!   overtaken by its `help_stop` and changes nothing of the hand. Otherwise, if `lastHelpAt` is
//!   absent or 75 s or more ago by `receivedAt`, the hand goes up: `helpSince` is `receivedAt`,
//!   `handClosed` false. Otherwise it goes up if it is neither up nor closed. `lastHelpAt` is the
//!   greatest `receivedAt`.
//! - `help_stop` clears `helpSince`, `lastHelpAt` and `handClosed`; `handLoweredAt` is its moment
//!   if that is greater.
//! - A cell is a notebook path and a cell id. A run with a `cellId` counts there: `runs`,
//!   `failedRuns`; `cellIndex` is the last that was given; an error's message is the first line of
//!   `errorMessage` that is not empty, its first 200 characters. Of the messages 20 are kept, by
//!   count, of equal counts the one counted last first; a new one takes the last's place.
//!   `students` and `failingStudents` count the kept pairs of student and cell.
//! - A pair's outcome is that of the run with the greatest moment, of equal moments the last.
//! - Activity: runs, failures and hands raised by the minute of `receivedAt`, a day back from the
//!   newest.
//! - Of more than [`MAX_STUDENTS`], [`MAX_CELLS`] or [`MAX_RUNS`], what was touched by no event for
//!   longest is forgotten.
//! - Status at `now`, the first that holds: `help` while `helpSince` is set, until 75 s after
//!   `lastHelpAt`; `stuck` with 3 `consecutiveErrors` or more; `error` with one or more, until 5
//!   min after `lastRun.receivedAt`; `active` until 2 min after `lastReceivedAt`; `idle`.
//!   `statusUntil` is that end, exclusive.

mod activity;
mod cell;
mod class;
mod classes;
mod clock;
mod drawing;
mod intake;
mod keeper;
mod kept;
mod live;
mod load;
mod observed;
mod picture;
mod rebuild;
mod slot;
mod snapshot;
mod student;
#[cfg(test)]
mod tests;
mod unsaved;
pub mod view;

pub use activity::{MAX_MINUTES, Minute};
pub use cell::{Cell, MAX_MESSAGES, Runs};
pub use class::{ClassState, MAX_CELLS, MAX_RUNS, MAX_STUDENTS};
pub use classes::Classes;
pub use intake::Intake;
pub use keeper::Keeper;
pub use live::{Picture, Sending};
pub use load::LoadError;
pub use observed::{MAX_MESSAGE_CHARS, MAX_TEXT_BYTES};
pub use rebuild::{Difference, Outcome, RebuildError, Rebuilder};
pub use student::{LastRun, Status, Student};
