//! The fold: a class's state as its events make it. It is pure: no clock, no database, no lock.
//!
//! [`normalized_event`] holds the members of an event that the fold uses, by the class's
//! [`settings`] and by the [`names`] under which notebooks, cells and messages are counted.
//! [`class`] folds it, [`beginning`] begins lessons and takes settings, and the class asks
//! [`lesson`], [`student`], [`streaks`], [`cell`] and [`activity`] for the rules of each. The
//! collections are [`lru_map`]s, whose bytes are counted by [`heap`]. [`tally`] counts the events
//! of exports by the same rules.

pub(in crate::state) mod activity;
mod beginning;
pub(in crate::state) mod cell;
pub(in crate::state) mod class;
pub(in crate::state) mod heap;
pub(in crate::state) mod lesson;
pub(in crate::state) mod lru_map;
mod names;
pub(in crate::state) mod normalized_event;
pub(in crate::state) mod settings;
pub(in crate::state) mod streaks;
pub(in crate::state) mod student;
pub(in crate::state) mod tally;
pub(in crate::state) mod values;
