//! The rules that the replicas may follow: that of this release, that of 0.1.0, and the first
//! without one of its clauses.

/// Which rule the replicas follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// As of 0.1.0.
    Old,
    /// The same, but `state_through` is stamped with the nonce that was compared.
    OldStamped,
    /// As `src/housekeeping/snapshots.rs` has it.
    Verified,
    /// The same, without one of its clauses.
    Without(Clause),
}

/// A clause of the rule, by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clause {
    /// 1: position, dirty classes and flag are of one moment; the flag is a debt.
    Moment,
    /// 2: the version is compared in the transaction that writes.
    Version,
    /// 3: `state_through` moves only from where it was read, after a scan from there.
    StateThrough,
    /// 4: changes are written only onto the snapshot that they are changes of.
    Changes,
    /// 5: a snapshot never goes back.
    Back,
    /// 6: classes dropped from memory end the round.
    Dropped,
    /// 7: a class that a scan finds is written.
    Found,
}

impl Rule {
    pub fn is_verified(self) -> bool {
        matches!(self, Self::Verified | Self::Without(_))
    }

    pub fn has(self, clause: Clause) -> bool {
        self != Self::Without(clause)
    }
}
