//! The database: the events, the rows of snapshots, `state_through`, and the leader's lock; and
//! the acts of clients and operators on it.
//!
//! Numbers are small, so sets are bits. An event is known by its number among all that were ever
//! posted (its *serial*), since an emptied table may give ids out again. The events
//! in a class's rows, and those in a replica's memory of a class, are sets of serials.

pub const CLASSES: usize = 2;
pub type Class = usize;
/// Bits of serials.
pub type Events = u8;
/// Bits of classes.
pub type ClassSet = u8;

/// The log's version: the epoch's nonce, and how often events were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    pub nonce: u8,
    pub deletions: u8,
}

/// A class's snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    pub nonce: u8,
    pub through: u8,
    pub events: Events,
}

/// `state_through`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateThrough {
    pub nonce: u8,
    pub through: u8,
}

/// An event that was posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Posted {
    pub id: u8,
    pub class: Class,
}

/// The rows of snapshots and `state_through`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Snapshots {
    pub rows: [Option<Row>; CLASSES],
    pub state_through: StateThrough,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Database {
    /// By serial.
    pub posted: Vec<Posted>,
    /// The events in the table.
    pub present: Events,
    pub sequence: u8,
    pub version: Version,
    /// Greater than every id that was deleted, or equal.
    pub pruned: u8,
    /// By deletion: the classes concerned.
    pub deleted: Vec<ClassSet>,
    pub snapshots: Snapshots,
    /// The snapshots as they are on disk.
    pub flushed: Snapshots,
    pub leader: Option<usize>,
}

impl Database {
    pub fn new() -> Self {
        let state_through = StateThrough { nonce: 0, through: 0 };
        let none = Snapshots { rows: [None; CLASSES], state_through };
        Self {
            posted: Vec::new(),
            present: 0,
            sequence: 0,
            version: Version { nonce: 1, deletions: 0 },
            pruned: 0,
            deleted: Vec::new(),
            snapshots: none,
            flushed: none,
            leader: None,
        }
    }

    /// The events of a set that `which` chooses.
    pub fn select(&self, of: Events, which: impl Fn(&Posted) -> bool) -> Events {
        let chosen = self
            .posted
            .iter()
            .enumerate()
            .filter(|(serial, event)| of & (1 << serial) != 0 && which(event));
        chosen.fold(0, |events, (serial, _)| events | 1 << serial)
    }

    /// A class's events in the table after an id.
    pub fn after(&self, class: Class, id: u8) -> Events {
        self.select(self.present, |event| event.class == class && event.id > id)
    }

    /// The greatest id of some events.
    pub fn last(&self, of: Events) -> u8 {
        let ids = self.posted.iter().enumerate().filter(|(serial, _)| of & (1 << serial) != 0);
        ids.map(|(_, event)| event.id).max().unwrap_or(0)
    }

    pub fn newest(&self) -> u8 {
        self.last(self.present)
    }

    /// A class's row, if it is of the nonce.
    pub fn row(&self, class: Class) -> Option<Row> {
        self.snapshots.rows[class].filter(|row| row.nonce == self.version.nonce)
    }

    /// Up to where every snapshot is complete, if that is known under the nonce.
    pub fn complete_through(&self) -> Option<u8> {
        let StateThrough { nonce, through } = self.snapshots.state_through;
        (nonce == self.version.nonce).then_some(through)
    }

    /// Writes `state_through` under the nonce.
    pub fn set_complete_through(&mut self, through: u8) {
        let nonce = self.version.nonce;
        self.snapshots.state_through = StateThrough { nonce, through };
    }

    /// The snapshot as a replica reads it when it loads the class: its events, and the id after
    /// which the table is read.
    pub fn snapshot(&self, class: Class) -> (Events, u8) {
        let row = self.row(class);
        let through = row.map_or(0, |row| row.through).max(self.complete_through().unwrap_or(0));
        (row.map_or(0, |row| row.events), through)
    }

    pub fn post(&mut self, class: Class) -> Option<()> {
        if self.posted.is_empty() && class > 0 {
            // The classes are alike.
            return None;
        }
        self.sequence += 1;
        self.present |= 1 << self.posted.len();
        self.posted.push(Posted { id: self.sequence, class });
        Some(())
    }

    pub fn renew(&mut self) {
        self.version.nonce += 1;
    }

    /// Renews the nonce, and stamps the snapshots of the one before with it.
    pub fn adopt(&mut self) {
        let before = self.version.nonce;
        self.version.nonce += 1;
        let now = self.version.nonce;
        for row in self.snapshots.rows.iter_mut().flatten().filter(|row| row.nonce == before) {
            row.nonce = now;
        }
        if self.snapshots.state_through.nonce == before {
            self.snapshots.state_through.nonce = now;
        }
    }

    /// Deletes a class's oldest event.
    pub fn delete_oldest(&mut self, class: Class) -> Option<()> {
        let events = self.after(class, 0);
        if events == 0 {
            return None;
        }
        let serial = events.trailing_zeros();
        self.present &= !(1 << serial);
        self.pruned = self.pruned.max(self.posted[serial as usize].id);
        self.note_deletion(1 << class);
        Some(())
    }

    /// Empties the table, which gives ids out again.
    pub fn truncate(&mut self) -> Option<()> {
        if self.present == 0 {
            return None;
        }
        (self.present, self.sequence, self.pruned) = (0, 0, 0);
        self.note_deletion((1 << CLASSES) - 1);
        Some(())
    }

    /// The trigger on DELETE: the snapshots of the classes concerned are void, and so is
    /// `state_through`. Their rows of students and cells are still there.
    fn note_deletion(&mut self, classes: ClassSet) {
        self.version.deletions += 1;
        self.deleted.push(classes);
        for (class, row) in self.snapshots.rows.iter_mut().enumerate() {
            if let Some(row) = row
                && classes & (1 << class) != 0
            {
                (row.nonce, row.through) = (0, 0);
            }
        }
        self.snapshots.state_through = StateThrough { nonce: 0, through: 0 };
    }

    /// `rebuild-state` writes a class's snapshot, under another version.
    pub fn rebuild(&mut self, class: Class) -> Option<()> {
        let (_, through) = self.snapshot(class);
        let through = if through > 0 { through } else { self.last(self.after(class, 0)) };
        let events = self.select(self.present, |event| event.class == class && event.id <= through);
        if events == 0 {
            return None;
        }
        self.version.deletions += 1;
        self.deleted.push(1 << class);
        self.snapshots.rows[class] = Some(Row { nonce: self.version.nonce, through, events });
        Some(())
    }

    /// The written rows reach the disk.
    pub fn flush(&mut self) {
        self.flushed = self.snapshots;
    }

    /// The server crashes: snapshots that are not on disk are undone.
    pub fn crash(&mut self) {
        self.snapshots = self.flushed;
        self.leader = None;
    }
}
