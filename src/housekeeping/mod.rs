//! The work that one elected replica does for all.
//!
//! - [`leader`]: the election, the session of the one that is elected, and the list of its tasks
//! - [`task`]: the trait of a task
//! - [`snapshots`]: the task that writes the snapshots of class state
//! - [`audit_retention`]: the task that deletes old entries of the audit; [`config`]: what is kept,
//!   and for how long
//!
//! A new task is a file beside `snapshots`, and a line in `leader::begin_tasks`.

mod audit_retention;
mod config;
mod leader;
mod snapshots;
mod task;

pub(crate) use config::Config;
pub(crate) use leader::Housekeeping;
