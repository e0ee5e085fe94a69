//! The steps that may happen.

use crate::database::Class;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Post(Class),
    Renew,
    Adopt,
    Delete(Class),
    Truncate,
    Rebuild(Class),
    /// The written rows reach the disk.
    Flush,
    Outage,
    /// A replica's tail looks: it takes one event, or notices that the log is another.
    Tail(usize),
    TailResets(usize),
    LoadSnapshot(usize, Class),
    LoadEvents(usize, Class),
    Evict(usize, Class),
    ReadList(usize),
    ApplyList(usize),
    Elect(usize),
    LoseSession(usize),
    Crash(usize),
    Begin(usize),
    /// `state_through` is read.
    ReadThrough(usize),
    Scan(usize),
    /// The next class of the round is live.
    EndLoad(usize),
    /// A class cannot be loaded.
    GiveUp(usize),
    /// (Old.) The epoch is compared, in the transaction that writes.
    Compare(usize),
    /// The next class is written.
    Write(usize),
    Answer(usize),
    Finish(usize),
}

impl Action {
    /// Whether it commits a transaction that waits for the disk; then everything that was written
    /// before is there, too.
    pub fn waits_for_the_disk(self) -> bool {
        matches!(
            self,
            Self::Renew | Self::Adopt | Self::Delete(_) | Self::Truncate | Self::Rebuild(_)
        )
    }

    /// The replica, if this is a step of a leader's round.
    pub fn of_round(self) -> Option<usize> {
        match self {
            Self::Begin(replica)
            | Self::ReadThrough(replica)
            | Self::Scan(replica)
            | Self::EndLoad(replica)
            | Self::GiveUp(replica)
            | Self::Compare(replica)
            | Self::Write(replica)
            | Self::Answer(replica)
            | Self::Finish(replica) => Some(replica),
            _ => None,
        }
    }

    /// The steps of a replica that are of no class.
    pub fn of_replica(replica: usize) -> [Self; 13] {
        [
            Self::Tail(replica),
            Self::Elect(replica),
            Self::Begin(replica),
            Self::ReadThrough(replica),
            Self::Scan(replica),
            Self::Compare(replica),
            Self::GiveUp(replica),
            Self::Answer(replica),
            Self::EndLoad(replica),
            Self::Write(replica),
            Self::Finish(replica),
            Self::LoseSession(replica),
            Self::TailResets(replica),
        ]
    }
}
