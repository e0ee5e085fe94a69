//! The work that one elected replica does for all.
//!
//! - [`leader`]: the election, the session of the one that is elected, and the list of its tasks
//! - [`task`]: the trait of a task
//! - [`snapshots`]: the task that writes the snapshots of class state
//!
//! A new task is a file beside `snapshots`, and a line in `leader::begin_tasks`.

mod leader;
mod snapshots;
mod task;

pub(crate) use leader::Housekeeping;
