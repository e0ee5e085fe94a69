//! The fold: a class's state as its events make it. It is pure: no clock, no database, no lock.
//!
//! [`normalized_event`] holds the members of an event that the fold uses. [`class`] folds it, and
//! asks [`student`], [`cell`] and [`activity`] for the rules of each. The collections are
//! [`lru_map`]s, whose bytes are counted by [`heap`].

pub(in crate::state) mod activity;
pub(in crate::state) mod cell;
pub(in crate::state) mod class;
pub(in crate::state) mod heap;
pub(in crate::state) mod lru_map;
pub(in crate::state) mod normalized_event;
pub(in crate::state) mod student;
