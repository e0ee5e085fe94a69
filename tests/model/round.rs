//! Where the leader is in its round.

use crate::database::{Class, ClassSet, Version};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Round {
    Rest,
    Begun(Plan),
    /// `state_through` is read; the scan is next.
    Scanning(Plan),
    /// Classes are being loaded.
    Loading(Plan),
    /// These classes are to be written yet.
    Writing(Plan, ClassSet),
    /// (Old.) The epoch was compared, in the transaction that writes this class.
    Compared(Plan, ClassSet, Class),
    /// A class was written; the answer is on its way.
    Written(Plan, ClassSet, WrittenClass),
}

/// The work of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plan {
    pub version: Version,
    pub position: u8,
    /// Classes to be loaded.
    pub to_load: ClassSet,
    /// Classes that the scan found, and that are not written yet.
    pub behind: ClassSet,
    pub scan: bool,
    /// `state_through` as it was read.
    pub before: Option<u8>,
    /// Some class could not be written.
    pub incomplete: bool,
    pub wrote: bool,
}

impl Plan {
    pub fn new(version: Version, position: u8, to_load: ClassSet, scan: bool) -> Self {
        let (behind, before, incomplete, wrote) = (0, None, false, false);
        Self { version, position, to_load, behind, scan, before, incomplete, wrote }
    }

    /// The next class to be loaded, if there is one.
    pub fn next_to_load(&self) -> Class {
        self.to_load.trailing_zeros() as Class
    }
}

/// A class that was written, and up to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WrittenClass {
    pub class: Class,
    /// The last event that was written.
    pub last: u8,
    /// The row goes up to this id.
    pub through: u8,
}
