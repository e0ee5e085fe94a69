//! The machine: what is stored, the replicas, and every step that either may take.
//!
//! Numbers are small, so sets are bits. An event is known by its number among all that were ever
//! posted (`Serial`), since an emptied table may give ids out again; what a class's rows hold, and
//! what a replica has in memory of a class, is a set of these. That the real fold makes the same of
//! the same events is shared test vectors' business (tests/vectors).

use stateright::{Model, Property};

const CLASSES: usize = 2;
type Class = usize;
/// Bits of serials.
type Events = u8;
/// Bits of classes.
type ClassSet = u8;

/// Which rule the replicas follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// As of 0.1.0.
    Old,
    /// The same, but `state_through` is stamped with the nonce that was compared.
    OldStamped,
    /// As `src/state/keeper.rs` has it.
    Verified,
    /// That, without one of its clauses.
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
    Standing,
    /// 4: changes go only onto the snapshot that they are changes of.
    Changes,
    /// 5: a snapshot never goes back.
    Back,
    /// 6: what is dropped from memory ends the round.
    Dropped,
    /// 7: what a scan finds is written.
    Found,
}

impl Rule {
    fn is_verified(self) -> bool {
        matches!(self, Self::Verified | Self::Without(_))
    }

    fn has(self, clause: Clause) -> bool {
        self != Self::Without(clause)
    }
}

/// What may happen, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    pub replicas: u8,
    /// Classes that anything happens to.
    pub classes: usize,
    /// Classes that a replica remembers as dirty.
    pub bound: u8,
    pub posts: u8,
    /// `migrate --new-epoch`.
    pub renewals: u8,
    /// A promotion: the nonce is renewed, and what is stored is stamped with the new one.
    pub adoptions: u8,
    /// An operator deletes a class's oldest event.
    pub deletes: u8,
    /// `TRUNCATE … RESTART IDENTITY`.
    pub truncates: u8,
    /// A process is killed and starts again.
    pub crashes: u8,
    /// The leader's session ends; its process does not.
    pub losses: u8,
    /// The tail drops what is in memory, within an epoch.
    pub resets: u8,
    /// A class is let go that nobody asks for.
    pub evictions: u8,
    /// The list of classes is asked for.
    pub lists: u8,
    /// A class comes in that the leader does not need now.
    pub reads: u8,
    /// `rebuild-state` writes a class anew.
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

/// The log's version: the epoch's nonce, and how often events were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    nonce: u8,
    deletions: u8,
}

/// A class's snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Row {
    nonce: u8,
    through: u8,
    events: Events,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Stored {
    /// By serial: the id, and the class.
    posted: Vec<(u8, Class)>,
    /// Those in the table.
    present: Events,
    sequence: u8,
    version: Version,
    /// Above every id that was deleted.
    pruned: u8,
    /// By deletion: the classes concerned.
    deleted: Vec<ClassSet>,
    rows: [Option<Row>; CLASSES],
    /// `state_through`: a nonce, and an id.
    overall: (u8, u8),
    /// Both as they are on disk.
    flushed: ([Option<Row>; CLASSES], (u8, u8)),
    leader: Option<usize>,
}

impl Stored {
    /// A class's events in the table after an id.
    fn after(&self, class: Class, id: u8) -> Events {
        self.select(self.present, |event| event.1 == class && event.0 > id)
    }

    fn select(&self, of: Events, which: impl Fn(&(u8, Class)) -> bool) -> Events {
        let chosen = self
            .posted
            .iter()
            .enumerate()
            .filter(|(serial, event)| of & (1 << serial) != 0 && which(event));
        chosen.fold(0, |events, (serial, _)| events | 1 << serial)
    }

    fn last(&self, of: Events) -> u8 {
        self.posted
            .iter()
            .enumerate()
            .filter(|(n, _)| of & (1 << n) != 0)
            .map(|(_, e)| e.0)
            .max()
            .unwrap_or(0)
    }

    /// The trigger on DELETE: the snapshots of the classes concerned are void, and so is
    /// `state_through`. Their rows of students and cells are there still.
    fn delete(&mut self, classes: ClassSet) {
        self.version.deletions += 1;
        self.deleted.push(classes);
        for (class, row) in self.rows.iter_mut().enumerate() {
            if let Some(row) = row
                && classes & (1 << class) != 0
            {
                (row.nonce, row.through) = (0, 0);
            }
        }
        self.overall = (0, 0);
    }

    fn newest(&self) -> u8 {
        self.last(self.present)
    }

    /// A class's row, if it is of the nonce.
    fn row(&self, class: Class) -> Option<Row> {
        self.rows[class].filter(|row| row.nonce == self.version.nonce)
    }

    fn overall(&self) -> Option<u8> {
        (self.overall.0 == self.version.nonce).then_some(self.overall.1)
    }

    /// What a load makes of what is stored: the snapshot's events, and the id after which the table
    /// is read.
    fn snapshot(&self, class: Class) -> (Events, u8) {
        let row = self.row(class);
        let through = row.map_or(0, |row| row.through).max(self.overall().unwrap_or(0));
        (row.map_or(0, |row| row.events), through)
    }
}

/// A class in a replica's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Slot {
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
struct Live {
    nonce: u8,
    events: Events,
    /// The class's last event that is folded.
    last: u8,
    /// Every event up to here is.
    joined: u8,
    /// The last event that its snapshot holds.
    stored: u8,
    /// How far the row goes that is known to be there, under this nonce.
    base: Option<u8>,
    /// Folded since that row.
    changes: Events,
    /// What is there is not known: everything has to be written.
    whole: bool,
}

impl Live {
    fn is_unsaved(&self) -> bool {
        self.last > self.stored
    }

    fn through(&self, head: u8) -> u8 {
        head.max(self.last).max(self.joined)
    }
}

/// Where the leader is in its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Round {
    Rest,
    Begun(Plan),
    /// `state_through` is read.
    Placed(Plan),
    /// Classes are brought in.
    Bringing(Plan),
    /// These are to be written yet.
    Writing(Plan, ClassSet),
    /// (Old.) The epoch was compared, in the transaction that writes this class.
    Compared(Plan, ClassSet, Class),
    /// The class is written up to an event and an id; the answer is on its way.
    Written(Plan, ClassSet, Class, u8, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Plan {
    version: Version,
    head: u8,
    /// To be brought in.
    classes: ClassSet,
    /// Found by the scan.
    found: ClassSet,
    scan: bool,
    standing: Option<u8>,
    /// Something could not be written.
    incomplete: bool,
    wrote: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Replica {
    version: Version,
    head: u8,
    slots: [Slot; CLASSES],
    /// The last event that was heard of, of a class that no snapshot is known to hold.
    dirty: [Option<u8>; CLASSES],
    /// Something came for a class that is not among them.
    missed: bool,
    /// A full scan is owed.
    owed: bool,
    round: Round,
    /// What was in memory has gone since the round began.
    disturbed: bool,
    /// The list of classes was read: the version, and how far each row goes.
    list: Option<(Version, [Option<u8>; CLASSES])>,
}

impl Replica {
    fn starts(stored: &Stored) -> Self {
        Self {
            version: stored.version,
            head: stored.newest().max(stored.pruned),
            slots: [Slot::Absent; CLASSES],
            dirty: [None; CLASSES],
            missed: true,
            owed: false,
            round: Round::Rest,
            disturbed: false,
            list: None,
        }
    }

    /// The tail begins anew at the table's end.
    fn reset(&mut self, stored: &Stored) {
        let (round, owed, list) = (self.round, self.owed, self.list);
        *self = Self { round, owed, list, disturbed: true, ..Self::starts(stored) };
    }

    fn live(&self, class: Class) -> Option<Live> {
        match self.slots[class] {
            Slot::Live(live) => Some(live),
            _ => None,
        }
    }

    fn note(&mut self, class: Class, id: u8, bound: u8) {
        let others = self.dirty.iter().filter(|dirty| dirty.is_some()).count();
        if self.dirty[class].is_some() || others < usize::from(bound) {
            self.dirty[class] = Some(id);
        } else {
            self.missed = true;
        }
    }

    fn dirty(&self) -> ClassSet {
        (0..CLASSES)
            .filter(|&class| self.dirty[class].is_some())
            .fold(0, |set, class| set | 1 << class)
    }

    fn unsaved(&self) -> ClassSet {
        (0..CLASSES)
            .filter(|&class| self.live(class).is_some_and(|live| live.is_unsaved()))
            .fold(0, |set, class| set | 1 << class)
    }

    fn remember(&mut self) {
        for slot in &mut self.slots {
            if let Slot::Live(live) = slot {
                (live.changes, live.whole) = (0, true);
            }
        }
    }

    /// It leads no longer.
    fn resign(&mut self) {
        self.round = Round::Rest;
        self.remember();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    stored: Stored,
    replicas: Vec<Replica>,
    left: Budget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Post(Class),
    Renew,
    Adopt,
    Delete(Class),
    Truncate,
    Rebuild(Class),
    /// What was written reaches the disk.
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
    ReadStanding(usize),
    Scan(usize),
    /// The next class of the round lives; after the last one it is known what has to be written.
    Bring(usize),
    /// A class cannot be brought in: what there is is written, and the round counts for nothing.
    GiveUp(usize),
    /// (Old.) The epoch is compared, in the transaction that writes.
    Compare(usize),
    /// The next class is written.
    Write(usize),
    Answer(usize),
    Finish(usize),
}

#[derive(Debug, Clone)]
pub struct Machine {
    pub rule: Rule,
    pub budget: Budget,
}

impl Model for Machine {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let stored = Stored {
            posted: Vec::new(),
            present: 0,
            sequence: 0,
            version: Version { nonce: 1, deletions: 0 },
            pruned: 0,
            deleted: Vec::new(),
            rows: [None; CLASSES],
            overall: (0, 0),
            flushed: ([None; CLASSES], (0, 0)),
            leader: None,
        };
        let replicas = (0..self.budget.replicas).map(|_| Replica::starts(&stored)).collect();
        vec![State { stored, replicas, left: self.budget }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        for class in 0..left.classes {
            actions.extend([Action::Post(class), Action::Delete(class), Action::Rebuild(class)]);
        }
        actions.extend([
            Action::Renew,
            Action::Adopt,
            Action::Truncate,
            Action::Flush,
            Action::Outage,
        ]);
        for (r, replica) in state.replicas.iter().enumerate() {
            actions.extend([
                Action::Tail(r),
                Action::Elect(r),
                Action::Begin(r),
                Action::ReadStanding(r),
            ]);
            actions.extend([
                Action::Scan(r),
                Action::Compare(r),
                Action::GiveUp(r),
                Action::Answer(r),
            ]);
            actions.extend([Action::Bring(r), Action::Write(r)]);
            actions.extend([
                Action::Finish(r),
                Action::LoseSession(r),
                Action::Crash(r),
                Action::TailResets(r),
            ]);
            for class in 0..left.classes {
                actions.extend([Action::LoadSnapshot(r, class), Action::LoadEvents(r, class)]);
                if left.evictions > 0 {
                    actions.push(Action::Evict(r, class));
                }
            }
            if left.lists > 0 || replica.list.is_some() {
                actions.extend([Action::ReadList(r), Action::ApplyList(r)]);
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.step(&mut next, action)?;
        // These commits wait for the disk, and what was written before them is there then too.
        let waits = matches!(
            action,
            Action::Renew
                | Action::Adopt
                | Action::Delete(_)
                | Action::Truncate
                | Action::Rebuild(_)
        );
        if waits || next.left.outages == 0 {
            next.stored.flushed = (next.stored.rows, next.stored.overall);
        }
        next.normalize();
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("stored", |_, state: &State| state.is_stored_right()),
            Property::always("memory", |machine: &Machine, state: &State| {
                !machine.rule.is_verified() || state.is_memory_right()
            }),
            Property::sometimes("complete", |machine: &Machine, state: &State| {
                let (stored, left) = (&state.stored, &state.left);
                let Budget { replicas, classes, bound, .. } = machine.budget;
                let happened = *left == Budget { replicas, classes, bound, ..Budget::default() };
                happened && stored.overall() == Some(stored.newest()) && stored.newest() > 0
            }),
        ]
    }
}

impl State {
    /// What nobody will look at again is nothing: fewer states.
    fn normalize(&mut self) {
        for (r, replica) in self.replicas.iter_mut().enumerate() {
            let leads = self.stored.leader == Some(r);
            replica.owed &= leads;
            replica.disturbed &= replica.round != Round::Rest;
            // While an answer is on its way, what is folded counts from what was written.
            let answered = !matches!(replica.round, Round::Written(..));
            for slot in &mut replica.slots {
                if let Slot::Live(live) = slot {
                    live.whole |= !leads;
                    if live.whole && answered {
                        live.changes = 0;
                    }
                }
            }
        }
    }

    /// A replica that is started now has every class right.
    fn is_stored_right(&self) -> bool {
        (0..CLASSES).all(|class| {
            let (events, through) = self.stored.snapshot(class);
            events | self.stored.after(class, through) == self.stored.after(class, 0)
        })
    }

    /// What a replica has in memory is right as soon as its tail knows the log's version.
    fn is_memory_right(&self) -> bool {
        let known = |replica: &&Replica| replica.version == self.stored.version;
        self.replicas.iter().filter(known).all(|replica| {
            (0..CLASSES).all(|class| {
                let Some(live) = replica.live(class) else { return true };
                let through = live.through(replica.head);
                let folded =
                    self.stored.select(self.stored.present, |e| e.1 == class && e.0 <= through);
                live.nonce != self.stored.version.nonce || live.events == folded
            })
        })
    }
}

/// Takes one of what is left of something.
fn take(left: &mut u8) -> Option<()> {
    *left = left.checked_sub(1)?;
    Some(())
}

impl Machine {
    /// As many of these actions as lead to a state in which what is stored is wrong.
    pub fn until_wrong(&self, actions: Vec<Action>) -> Vec<Action> {
        let mut state = self.init_states().remove(0);
        let mut taken = Vec::new();
        for action in actions {
            state = self.next_state(&state, action).unwrap_or(state);
            taken.push(action);
            if !state.is_stored_right() {
                break;
            }
        }
        taken
    }

    /// One step; `None` where it is not possible.
    fn step(&self, state: &mut State, action: Action) -> Option<()> {
        let verified = self.rule.is_verified();
        let State { stored, replicas, left } = state;
        match action {
            Action::Post(class) => {
                take(&mut left.posts)?;
                if stored.posted.is_empty() && class > 0 {
                    // The classes are alike.
                    return None;
                }
                stored.sequence += 1;
                stored.present |= 1 << stored.posted.len();
                stored.posted.push((stored.sequence, class));
            }
            Action::Renew => {
                take(&mut left.renewals)?;
                stored.version.nonce += 1;
            }
            Action::Adopt => {
                take(&mut left.adoptions)?;
                let before = stored.version.nonce;
                stored.version.nonce += 1;
                let now = stored.version.nonce;
                for row in stored.rows.iter_mut().flatten().filter(|row| row.nonce == before) {
                    row.nonce = now;
                }
                if stored.overall.0 == before {
                    stored.overall.0 = now;
                }
            }
            Action::Delete(class) => {
                let events = stored.after(class, 0);
                if events == 0 {
                    return None;
                }
                take(&mut left.deletes)?;
                let serial = events.trailing_zeros();
                stored.present &= !(1 << serial);
                stored.pruned = stored.pruned.max(stored.posted[serial as usize].0);
                stored.delete(1 << class);
            }
            Action::Truncate => {
                if stored.present == 0 {
                    return None;
                }
                take(&mut left.truncates)?;
                (stored.present, stored.sequence, stored.pruned) = (0, 0, 0);
                stored.delete((1 << CLASSES) - 1);
            }
            Action::Flush => {
                if left.outages == 0 {
                    return None;
                }
                stored.flushed = (stored.rows, stored.overall);
            }
            Action::Outage => {
                take(&mut left.outages)?;
                (stored.rows, stored.overall) = stored.flushed;
                stored.leader = None;
                replicas.iter_mut().for_each(Replica::resign);
            }
            Action::Rebuild(class) => {
                take(&mut left.rebuilds)?;
                let (_, through) = stored.snapshot(class);
                let through =
                    if through > 0 { through } else { stored.last(stored.after(class, 0)) };
                let events =
                    stored.select(stored.present, |event| event.1 == class && event.0 <= through);
                if events == 0 {
                    return None;
                }
                stored.version.deletions += 1;
                stored.deleted.push(1 << class);
                stored.rows[class] = Some(Row { nonce: stored.version.nonce, through, events });
            }
            Action::Crash(r) => {
                take(&mut left.crashes)?;
                replicas[r] = Replica::starts(stored);
                if stored.leader == Some(r) {
                    stored.leader = None;
                }
            }
            Action::LoseSession(r) => {
                if stored.leader != Some(r) {
                    return None;
                }
                take(&mut left.losses)?;
                stored.leader = None;
                replicas[r].resign();
            }
            Action::Elect(r) => {
                if stored.leader.is_some() {
                    return None;
                }
                stored.leader = Some(r);
                replicas[r].remember();
                replicas[r].owed = true;
            }
            Action::TailResets(r) => {
                take(&mut left.resets)?;
                replicas[r].reset(stored);
            }
            Action::Tail(r) => tail(stored, &mut replicas[r], self.budget.bound)?,
            Action::LoadSnapshot(r, class) => {
                let replica = &mut replicas[r];
                if replica.slots[class] != Slot::Absent
                    || verified && stored.version.nonce != replica.version.nonce
                {
                    return None;
                }
                let next = |plan: Plan| plan.classes.trailing_zeros() as Class;
                if !matches!(replica.round, Round::Bringing(plan) if next(plan) == class) {
                    take(&mut left.reads)?;
                }
                let (events, through) = stored.snapshot(class);
                let base = stored.row(class).map(|row| row.through);
                replica.slots[class] =
                    Slot::Loading { nonce: replica.version.nonce, events, through, base };
            }
            Action::LoadEvents(r, class) => {
                let Slot::Loading { nonce, events, through, base } = replicas[r].slots[class]
                else {
                    return None;
                };
                replicas[r].slots[class] = if nonce == stored.version.nonce {
                    let changes = stored.after(class, through);
                    Slot::Live(Live {
                        nonce,
                        events: events | changes,
                        last: stored.last(events | changes),
                        joined: through.max(stored.newest()),
                        stored: stored.last(events),
                        base,
                        changes,
                        whole: false,
                    })
                } else {
                    Slot::Absent
                };
            }
            Action::Evict(r, class) => {
                let live = replicas[r].live(class)?;
                if stored.leader == Some(r) && live.is_unsaved() {
                    return None;
                }
                take(&mut left.evictions)?;
                replicas[r].slots[class] = Slot::Absent;
            }
            Action::ReadList(r) => {
                take(&mut left.lists)?;
                let row = |class: Class| {
                    let row = if verified { stored.row(class) } else { stored.rows[class] };
                    row.map(|row| row.through)
                };
                replicas[r].list = Some((stored.version, std::array::from_fn(row)));
            }
            Action::ApplyList(r) => {
                let replica = &mut replicas[r];
                let (version, through) = replica.list.take()?;
                for (dirty, through) in replica.dirty.iter_mut().zip(through) {
                    let holds = dirty.is_some_and(|last| through >= Some(last));
                    if holds && (!verified || version == replica.version) {
                        *dirty = None;
                    }
                }
            }
            Action::Begin(r)
            | Action::ReadStanding(r)
            | Action::Scan(r)
            | Action::Bring(r)
            | Action::GiveUp(r)
            | Action::Compare(r)
            | Action::Write(r)
            | Action::Answer(r)
            | Action::Finish(r) => {
                if stored.leader != Some(r) {
                    return None;
                }
                let replica = &mut replicas[r];
                if verified {
                    round(self.rule, stored, replica, action)?;
                } else {
                    old_round(self.rule, stored, replica, action)?;
                }
            }
        }
        Some(())
    }
}

/// One look of a replica's tail.
fn tail(stored: &mut Stored, replica: &mut Replica, bound: u8) -> Option<()> {
    if replica.version.nonce != stored.version.nonce {
        replica.reset(stored);
        return Some(());
    }
    if replica.version.deletions != stored.version.deletions {
        let concerned = &stored.deleted[usize::from(replica.version.deletions)..];
        let concerned = concerned.iter().fold(0, |all, classes| all | classes);
        for class in (0..CLASSES).filter(|class| concerned & (1 << class) != 0) {
            replica.slots[class] = Slot::Absent;
            let head = replica.head;
            replica.note(class, head, bound);
        }
        (replica.missed, replica.disturbed) = (true, true);
        replica.version.deletions = stored.version.deletions;
    }
    if stored.sequence < replica.head {
        stored.version.nonce += 1;
        return Some(());
    }
    let event = stored.posted.iter().enumerate();
    let event = event.filter(|(n, event)| stored.present & (1 << n) != 0 && event.0 > replica.head);
    let Some((serial, &(id, class))) = event.min_by_key(|(_, event)| event.0) else {
        return Some(());
    };
    if let Slot::Live(live) = &mut replica.slots[class]
        && id > live.last
        && id > live.joined
    {
        live.events |= 1 << serial;
        live.changes |= 1 << serial;
        live.last = id;
    }
    replica.note(class, id, bound);
    replica.head = id;
    Some(())
}

/// The round's next class lives, or there is none to wait for.
fn bring(replica: &mut Replica, mut plan: Plan) -> Option<()> {
    if plan.classes != 0 {
        let class = plan.classes.trailing_zeros() as Class;
        replica.live(class)?;
        plan.classes &= !(1 << class);
    }
    replica.round = match plan.classes {
        0 => Round::Writing(plan, replica.unsaved()),
        _ => Round::Bringing(plan),
    };
    Some(())
}

/// One step of the leader's round.
fn round(rule: Rule, stored: &mut Stored, replica: &mut Replica, action: Action) -> Option<()> {
    let later = |replica: &mut Replica| {
        replica.round = Round::Rest;
        replica.owed = true;
    };
    match (action, replica.round) {
        (Action::Begin(_), Round::Rest) => {
            let plan = Plan {
                version: replica.version,
                head: replica.head,
                classes: replica.dirty(),
                found: 0,
                scan: replica.owed || replica.missed && rule.has(Clause::Moment),
                standing: None,
                incomplete: false,
                wrote: false,
            };
            if plan.classes == 0 && !plan.scan && replica.unsaved() == 0 {
                return None;
            }
            if rule.has(Clause::Moment) {
                replica.owed |= std::mem::take(&mut replica.missed);
            }
            replica.disturbed = false;
            replica.round = Round::Begun(plan);
        }
        (Action::ReadStanding(_), Round::Begun(mut plan)) => {
            if stored.version != plan.version {
                later(replica);
                return Some(());
            }
            plan.standing = stored.overall();
            plan.scan |= plan.standing.is_none() && rule.has(Clause::Standing);
            replica.round = if plan.scan { Round::Placed(plan) } else { Round::Bringing(plan) };
        }
        (Action::Scan(_), Round::Placed(mut plan)) => {
            for class in 0..CLASSES {
                let through = stored.row(class).map_or(0, |row| row.through);
                if stored.after(class, through.max(plan.standing.unwrap_or(0))) != 0 {
                    plan.classes |= 1 << class;
                    plan.found |= 1 << class;
                }
            }
            replica.round = Round::Bringing(plan);
        }
        (Action::Bring(_), Round::Bringing(plan)) => {
            let class = plan.classes.trailing_zeros() as Class;
            bring(replica, plan)?;
            if plan.found & plan.classes & (1 << class.min(CLASSES)) != 0
                && rule.has(Clause::Found)
                && let Slot::Live(live) = &mut replica.slots[class]
            {
                (live.stored, live.whole) = (0, true);
            }
            // What is unsaved is looked up after the last one.
            if let Round::Writing(plan, _) = replica.round {
                replica.round = Round::Writing(plan, replica.unsaved());
            }
        }
        (Action::GiveUp(_), Round::Bringing(mut plan)) if plan.classes != 0 => {
            (plan.classes, plan.incomplete) = (0, true);
            replica.round = Round::Writing(plan, replica.unsaved());
        }
        (Action::Write(_), Round::Writing(mut plan, todo)) if todo != 0 => {
            let class = todo.trailing_zeros() as Class;
            if stored.version != plan.version && rule.has(Clause::Version) {
                later(replica);
                return Some(());
            }
            let todo = todo & !(1 << class);
            let standing = stored.row(class).map(|row| row.through);
            let head = replica.head;
            let Slot::Live(live) = &mut replica.slots[class] else {
                plan.incomplete = true;
                replica.round = Round::Writing(plan, todo);
                return Some(());
            };
            let through = live.through(head);
            let dropped = replica.disturbed && rule.has(Clause::Dropped);
            if dropped || standing > Some(through) && rule.has(Clause::Back) {
                plan.incomplete = true;
                replica.round = Round::Writing(plan, todo);
                return Some(());
            }
            let known = standing.is_some() && standing == live.base || !rule.has(Clause::Changes);
            let whole = live.whole || !known;
            let events = match stored.rows[class] {
                Some(row) if !whole => row.events | live.changes,
                _ => live.events,
            };
            stored.rows[class] = Some(Row { nonce: stored.version.nonce, through, events });
            (live.changes, live.whole) = (0, true);
            plan.wrote = true;
            replica.round = Round::Written(plan, todo, class, live.last, through);
        }
        (Action::Answer(_), Round::Written(mut plan, todo, class, last, through)) => {
            plan.found &= !(1 << class);
            if let Slot::Live(live) = &mut replica.slots[class]
                && !replica.disturbed
            {
                live.stored = live.stored.max(last);
                (live.base, live.whole) = (Some(through), false);
            }
            if !replica.disturbed && replica.dirty[class].is_some_and(|last| last <= through) {
                replica.dirty[class] = None;
            }
            replica.round = Round::Writing(plan, todo);
        }
        (Action::Finish(_), Round::Writing(plan, 0)) => {
            let ahead = plan.standing > Some(plan.head);
            let unwritten = plan.found != 0 && rule.has(Clause::Found);
            if plan.incomplete || unwritten || replica.disturbed && rule.has(Clause::Dropped) {
                later(replica);
                return Some(());
            }
            if (plan.wrote || plan.scan) && !ahead {
                let stands = stored.overall() == plan.standing || !rule.has(Clause::Standing);
                if stored.version != plan.version && rule.has(Clause::Version) || !stands {
                    later(replica);
                    return Some(());
                }
                stored.overall = (stored.version.nonce, plan.head);
            }
            for class in 0..CLASSES {
                let head = replica.head;
                let clean = replica.live(class).filter(|live| !live.is_unsaved());
                let through = clean.map(|live| live.through(head));
                if replica.dirty[class].is_some_and(|last| through >= Some(last)) {
                    replica.dirty[class] = None;
                }
            }
            replica.owed = !rule.has(Clause::Moment) && std::mem::take(&mut replica.missed);
            replica.round = Round::Rest;
        }
        _ => return None,
    }
    Some(())
}

/// One step of a leader's round as it was in 0.1.0.
fn old_round(rule: Rule, stored: &mut Stored, replica: &mut Replica, action: Action) -> Option<()> {
    match (action, replica.round) {
        (Action::Begin(_), Round::Rest) => {
            let (version, head, scan) = (replica.version, replica.head, replica.owed);
            let classes = replica.dirty();
            let (found, standing, incomplete, wrote) = (0, None, false, false);
            let plan = Plan { version, head, classes, found, scan, standing, incomplete, wrote };
            replica.round = if scan { Round::Placed(plan) } else { Round::Bringing(plan) };
        }
        (Action::Scan(_), Round::Placed(mut plan)) => {
            let from = stored.overall().unwrap_or(0);
            for class in (0..CLASSES).filter(|&class| stored.after(class, from) != 0) {
                plan.classes |= 1 << class;
            }
            replica.round = Round::Bringing(plan);
        }
        (Action::Bring(_), Round::Bringing(plan)) => bring(replica, plan)?,
        (Action::Compare(_), Round::Writing(plan, todo)) if todo != 0 => {
            if stored.version.nonce != plan.version.nonce {
                replica.round = Round::Rest;
                replica.owed = true;
            } else {
                let class = todo.trailing_zeros() as Class;
                replica.round = Round::Compared(plan, todo & !(1 << class), class);
            }
        }
        (Action::Write(_), Round::Compared(mut plan, todo, class)) => {
            let head = replica.head;
            match &mut replica.slots[class] {
                Slot::Live(live) if live.nonce == plan.version.nonce => {
                    let through = live.through(head);
                    let events = match stored.rows[class] {
                        Some(row) if !live.whole => row.events | live.changes,
                        _ => live.events,
                    };
                    stored.rows[class] = Some(Row { nonce: stored.version.nonce, through, events });
                    (live.changes, live.whole) = (0, false);
                    plan.wrote = true;
                    replica.round = Round::Written(plan, todo, class, live.last, through);
                }
                _ => replica.round = Round::Writing(plan, todo),
            }
        }
        (Action::Answer(_), Round::Written(plan, todo, class, last, _)) => {
            if let Slot::Live(live) = &mut replica.slots[class] {
                live.stored = live.stored.max(last);
            }
            if replica.dirty[class].is_some_and(|heard| heard <= last) {
                replica.dirty[class] = None;
            }
            replica.round = Round::Writing(plan, todo);
        }
        (Action::Finish(_), Round::Writing(plan, 0)) => {
            if rule == Rule::OldStamped && stored.version.nonce != plan.version.nonce {
                (replica.owed, replica.round) = (true, Round::Rest);
                return Some(());
            }
            if plan.wrote || plan.scan {
                stored.overall = (stored.version.nonce, plan.head);
            }
            replica.owed = std::mem::take(&mut replica.missed);
            replica.round = Round::Rest;
        }
        _ => return None,
    }
    Some(())
}
