//! The classes in memory.
//!
//! - [`class_table`]: the classes in memory, and the dirty ones; [`slot`]: the slot of one;
//!   [`live_class`]: a class in memory
//! - [`load`]: loading a class while the tail goes on, with its [`past`]; [`intake`]: the tail's
//!   events; [`evict`]: which classes are dropped
//! - [`rendered_rows`], [`rendered_summary`], [`render`]: summaries, rendered without the class's
//!   lock, of a large class on a thread of low priority; [`own_summary`]: a student's own;
//!   [`earlier`]: of lessons that have ended, with their [`earlier_cache`]
//! - [`classes`]: for those who read; [`rounds`]: for the leader's snapshot writer; [`clock`]: the
//!   database's

pub(super) mod class_table;
pub(super) mod classes;
mod clock;
pub(super) mod earlier;
mod earlier_cache;
mod evict;
pub(super) mod intake;
pub(super) mod live_class;
mod load;
pub(super) mod load_error;
mod own_summary;
mod past;
mod render;
pub(super) mod rendered_rows;
pub(super) mod rendered_summary;
mod rounds;
mod slot;
#[cfg(test)]
mod tests;
