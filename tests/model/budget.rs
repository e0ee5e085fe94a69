//! How often each thing may happen in a search.

use crate::database::CLASSES;

/// What may happen, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    pub replicas: u8,
    /// Classes that anything happens to.
    pub classes: usize,
    /// Classes that the dirty set of a replica has room for.
    pub bound: u8,
    pub posts: u8,
    /// `migrate --new-epoch`.
    pub renewals: u8,
    /// A promotion: the nonce is renewed, and the rows are stamped with the new one.
    pub adoptions: u8,
    /// An operator deletes a class's oldest event.
    pub deletes: u8,
    /// `TRUNCATE … RESTART IDENTITY`.
    pub truncates: u8,
    /// A process is killed and starts again.
    pub crashes: u8,
    /// The leader's session ends; its process does not.
    pub losses: u8,
    /// The tail drops the classes in memory, within an epoch.
    pub resets: u8,
    /// A class is evicted.
    pub evictions: u8,
    /// The list of classes is asked for.
    pub lists: u8,
    /// A class is loaded that the leader does not need now.
    pub reads: u8,
    /// `rebuild-state` writes a class again.
    pub rebuilds: u8,
    /// The server crashes: snapshots that are not on disk are undone, and every session ends.
    pub outages: u8,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            replicas: 1,
            classes: CLASSES,
            bound: 1,
            posts: 0,
            renewals: 0,
            adoptions: 0,
            deletes: 0,
            truncates: 0,
            crashes: 0,
            losses: 0,
            resets: 0,
            evictions: 0,
            lists: 0,
            reads: 0,
            rebuilds: 0,
            outages: 0,
        }
    }
}

/// Takes one of `left`; `None` if there is none.
pub fn take(left: &mut u8) -> Option<()> {
    *left = left.checked_sub(1)?;
    Some(())
}
