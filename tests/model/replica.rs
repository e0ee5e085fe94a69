//! A replica: the classes in its memory, its tail, and its loading of classes.

use crate::database::{CLASSES, Class, ClassSet, Database, Events, Version};
use crate::round::{Plan, Round};

/// A class in a replica's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    Absent,
    /// Its snapshot has been read under this nonce; the table is next.
    Loading {
        nonce: u8,
        events: Events,
        through: u8,
        base: Option<u8>,
    },
    Live(Live),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Live {
    pub nonce: u8,
    pub events: Events,
    /// The class's last event that is folded.
    pub last: u8,
    /// Every event up to here is.
    pub joined: u8,
    /// The last event that the snapshot holds, as far as this replica knows.
    pub saved: u8,
    /// Up to where the snapshot goes that the changes are changes of, under this nonce.
    pub base: Option<u8>,
    /// The events folded since that snapshot.
    pub changes: Events,
    /// The changes are not enough: the whole class has to be written.
    pub whole: bool,
}

impl Live {
    pub fn is_unsaved(&self) -> bool {
        self.last > self.saved
    }

    pub fn through(&self, position: u8) -> u8 {
        position.max(self.last).max(self.joined)
    }

    /// The snapshot does not hold all events, whatever was written before.
    pub fn mark_unsaved(&mut self) {
        (self.saved, self.whole) = (0, true);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Replica {
    pub version: Version,
    /// Every event up to here was given to its class.
    pub position: u8,
    pub slots: [Slot; CLASSES],
    /// The last event of a class that no snapshot is known to hold.
    pub dirty: [Option<u8>; CLASSES],
    /// There may be dirty classes that are not in `dirty`.
    pub dirty_overflowed: bool,
    pub scan_owed: bool,
    pub round: Round,
    /// Classes were dropped from memory since the round began.
    pub disturbed: bool,
    /// The list of classes was read: the version, and up to where each row goes.
    pub list: Option<(Version, [Option<u8>; CLASSES])>,
}

impl Replica {
    pub fn start(database: &Database) -> Self {
        Self {
            version: database.version,
            position: database.newest().max(database.pruned),
            slots: [Slot::Absent; CLASSES],
            dirty: [None; CLASSES],
            dirty_overflowed: true,
            scan_owed: false,
            round: Round::Rest,
            disturbed: false,
            list: None,
        }
    }

    /// The tail begins again at the table's end.
    pub fn reset(&mut self, database: &Database) {
        let (round, scan_owed, list) = (self.round, self.scan_owed, self.list);
        *self = Self { round, scan_owed, list, disturbed: true, ..Self::start(database) };
    }

    pub fn live(&self, class: Class) -> Option<Live> {
        match self.slots[class] {
            Slot::Live(live) => Some(live),
            _ => None,
        }
    }

    fn mark_dirty(&mut self, class: Class, id: u8, bound: u8) {
        let others = self.dirty.iter().filter(|dirty| dirty.is_some()).count();
        if self.dirty[class].is_some() || others < usize::from(bound) {
            self.dirty[class] = Some(id);
        } else {
            self.dirty_overflowed = true;
        }
    }

    pub fn dirty(&self) -> ClassSet {
        set_of(|class| self.dirty[class].is_some())
    }

    pub fn unsaved(&self) -> ClassSet {
        set_of(|class| self.live(class).is_some_and(|live| live.is_unsaved()))
    }

    /// Classes begin to track changes: what was written before is not known.
    pub fn track_changes(&mut self) {
        for slot in &mut self.slots {
            if let Slot::Live(live) = slot {
                (live.changes, live.whole) = (0, true);
            }
        }
    }

    /// The replica leads no longer.
    pub fn resign(&mut self) {
        self.round = Round::Rest;
        self.track_changes();
    }

    /// One look of the tail: it takes one event, or notices that the log is another.
    pub fn look(&mut self, database: &mut Database, bound: u8) {
        if self.version.nonce != database.version.nonce {
            return self.reset(database);
        }
        if self.version.deletions != database.version.deletions {
            self.follow_deletions(database, bound);
        }
        if database.sequence < self.position {
            return database.renew();
        }
        let events = database.posted.iter().enumerate().filter(|(serial, event)| {
            database.present & (1 << serial) != 0 && event.id > self.position
        });
        let Some((serial, &event)) = events.min_by_key(|(_, event)| event.id) else { return };
        if let Slot::Live(live) = &mut self.slots[event.class]
            && event.id > live.last
            && event.id > live.joined
        {
            live.events |= 1 << serial;
            live.changes |= 1 << serial;
            live.last = event.id;
        }
        self.mark_dirty(event.class, event.id, bound);
        self.position = event.id;
    }

    fn follow_deletions(&mut self, database: &Database, bound: u8) {
        let concerned = &database.deleted[usize::from(self.version.deletions)..];
        let concerned = concerned.iter().fold(0, |all, classes| all | classes);
        for class in (0..CLASSES).filter(|class| concerned & (1 << class) != 0) {
            self.slots[class] = Slot::Absent;
            let position = self.position;
            self.mark_dirty(class, position, bound);
        }
        (self.dirty_overflowed, self.disturbed) = (true, true);
        self.version.deletions = database.version.deletions;
    }

    /// Loading a class begins: its snapshot is read.
    pub fn load_snapshot(&mut self, database: &Database, class: Class) {
        let (events, through) = database.snapshot(class);
        let base = database.row(class).map(|row| row.through);
        self.slots[class] = Slot::Loading { nonce: self.version.nonce, events, through, base };
    }

    /// Loading a class ends: the events after its snapshot are read.
    pub fn load_events(&mut self, database: &Database, class: Class) -> Option<()> {
        let Slot::Loading { nonce, events, through, base } = self.slots[class] else { return None };
        self.slots[class] = Slot::Absent;
        if nonce == database.version.nonce {
            let changes = database.after(class, through);
            self.slots[class] = Slot::Live(Live {
                nonce,
                events: events | changes,
                last: database.last(events | changes),
                joined: through.max(database.newest()),
                saved: database.last(events),
                base,
                changes,
                whole: false,
            });
        }
        Some(())
    }

    /// The list of classes that was read is used: classes whose rows hold everything are clean.
    pub fn apply_list(&mut self, compares_version: bool) -> Option<()> {
        let (version, through) = self.list.take()?;
        for (dirty, through) in self.dirty.iter_mut().zip(through) {
            let holds = dirty.is_some_and(|last| through >= Some(last));
            if holds && (!compares_version || version == self.version) {
                *dirty = None;
            }
        }
        Some(())
    }

    /// The round's next class is live, or there is none to wait for. After the last one it is known
    /// what has to be written.
    pub fn end_load(&mut self, mut plan: Plan) -> Option<()> {
        if plan.to_load != 0 {
            let class = plan.next_to_load();
            self.live(class)?;
            plan.to_load &= !(1 << class);
        }
        self.round = match plan.to_load {
            0 => Round::Writing(plan, self.unsaved()),
            _ => Round::Loading(plan),
        };
        Some(())
    }
}

fn set_of(is_in: impl Fn(Class) -> bool) -> ClassSet {
    (0..CLASSES).filter(|&class| is_in(class)).fold(0, |set, class| set | 1 << class)
}
