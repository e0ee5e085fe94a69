//! Class state: the state of each class, derived from its events. It is a pure fold over the events
//! in the order of their ids, held in memory for the classes in use, with snapshots in PostgreSQL.
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
//! - A text that is empty, not a string, or over 1,024 bytes is absent; so is a number that is not
//!   an integer within ±(2^53 − 1). An `eventTime` that is not an RFC 3339 time with an offset in
//!   the years 2000 to 2100 is replaced by the event's `receivedAt`. Times are cut below a
//!   microsecond. An event's *moment* is the lesser of `eventTime` and `receivedAt`.
//! - `help_resolved` is an instructor's act and no event of the student's. If the student is known
//!   and `helpSince` is set, it clears `helpSince` and sets `handClosed`. It changes nothing else,
//!   and makes no student.
//! - A `cell_executed` is a *run*. It is a *repeat* if it has an `executionCount`, if that,
//!   `sessionId`, `notebookPath` and `cellId` equal those of `lastRun` (absent equals absent), and
//!   if its time is at most 5 s from `lastRun.at`. A repeat changes nothing at all.
//! - An event is *late* if its moment is before the lesser of the student's `lastEventTime` and
//!   `lastReceivedAt`.
//! - `lastReceivedAt` is the greatest of all. Unless the event is late, `lastEventType` and
//!   `lastEventTime` become its own, and so do `userName` and `teamName` where it has them; another
//!   `notebookPath` replaces the student's and clears `cellId` and `cellIndex`; a `cellId` replaces
//!   `cellId` and `cellIndex`.
//! - A run counts in `cellsExecuted` and, if `hasError` is `true`, in `errorCount`. Unless it is
//!   late, it becomes `lastRun`. Then a success sets `consecutiveErrors` to 0 and clears
//!   `streakCell`; a failure sets `streakCell` to its `cellId`, and adds 1 to `consecutiveErrors`
//!   if its cell (notebook and id) is that of the run before, else sets it to 1.
//! - A `help` whose moment is within 10 s before `handLoweredAt` (excluding both ends) was
//!   overtaken by its `help_stop`, and changes nothing of the hand. Otherwise the hand goes up if
//!   `lastHelpAt` is absent or at least 75 s before `receivedAt`, or if the hand is neither up nor
//!   closed: `helpSince` becomes `receivedAt`, and `handClosed` false. Unless the `help` was
//!   overtaken, `lastHelpAt` becomes the greatest `receivedAt`.
//! - `help_stop` clears `helpSince`, `lastHelpAt` and `handClosed`; `handLoweredAt` becomes its
//!   moment if that is greater.
//! - A cell is a notebook path and a cell id. A run with a `cellId` counts in the cell's `runs`
//!   and, if it failed, in `failedRuns`; `cellIndex` is the last one that a run had. An error's
//!   message is the first line of `errorMessage` that is not empty, cut to 200 characters. 20
//!   messages are stored, ordered by count, of equal counts the one counted last first; a new one
//!   takes the last one's place. `students` and `failingStudents` count the stored pairs of student
//!   and cell.
//! - A pair's outcome is that of its run with the greatest moment; of equal moments, of the last
//!   one.
//! - Activity counts runs, failures and raised hands by the minute of `receivedAt`, for a day back
//!   from the newest minute.
//! - Of more than `MAX_STUDENTS` students, `MAX_CELLS` cells or `MAX_RUNS` pairs, the one that was
//!   touched by no event for longest is evicted.
//! - The status at `now` is the first of these that holds: `help` while `helpSince` is set, until
//!   75 s after `lastHelpAt`; `stuck` with 3 `consecutiveErrors` or more; `error` with one or more,
//!   until 5 min after `lastRun.receivedAt`; `active` until 2 min after `lastReceivedAt`; `idle`.
//!   `statusUntil` is that end, exclusive.

mod fold;
mod live;
mod rebuild;
mod snapshot;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use fold::activity::{MAX_MINUTES, MINUTE, minute_of};
pub use fold::class::ClassState;
pub(crate) use live::class_table::Round;
pub(crate) use live::classes::Classes;
pub(crate) use live::live_class::{TakenChanges, UnsavedChanges};
pub(crate) use live::load_error::LoadError;
pub use live::rendered_summary::write_summary;
pub(crate) use live::rendered_summary::{RenderedSummary, SharedReservation};
pub(crate) use rebuild::{RebuildError, Rebuilder};
pub use view::SummaryParts;
pub(crate) use view::buckets;
