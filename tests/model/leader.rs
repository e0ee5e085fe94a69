//! The steps of the leader's round, by the rule of `src/housekeeping/snapshots.rs`.

use crate::action::Action;
use crate::database::{CLASSES, ClassSet, Database, Row};
use crate::replica::{Replica, Slot};
use crate::round::{Plan, Round, WrittenClass};
use crate::rule::{Clause, Rule};

/// The leader of a moment.
pub struct Leader<'a> {
    pub rule: Rule,
    pub database: &'a mut Database,
    pub replica: &'a mut Replica,
}

impl Leader<'_> {
    /// One step; `None` where it is not possible.
    pub fn step(&mut self, action: Action) -> Option<()> {
        match (action, self.replica.round) {
            (Action::Begin(_), Round::Rest) => self.begin(),
            (Action::ReadThrough(_), Round::Begun(plan)) => self.read_through(plan),
            (Action::Scan(_), Round::Scanning(plan)) => self.scan(plan),
            (Action::EndLoad(_), Round::Loading(plan)) => self.end_load(plan),
            (Action::GiveUp(_), Round::Loading(plan)) => self.give_up(plan),
            (Action::Write(_), Round::Writing(plan, to_write)) => self.write(plan, to_write),
            (Action::Answer(_), Round::Written(plan, to_write, written)) => {
                self.answer(plan, to_write, written)
            }
            (Action::Finish(_), Round::Writing(plan, 0)) => self.finish(plan),
            _ => None,
        }
    }

    fn has(&self, clause: Clause) -> bool {
        self.rule.has(clause)
    }

    /// The round counts for nothing, and a scan is owed.
    fn try_later(&mut self) -> Option<()> {
        self.replica.round = Round::Rest;
        self.replica.scan_owed = true;
        Some(())
    }

    fn begin(&mut self) -> Option<()> {
        let one_moment = self.has(Clause::Moment);
        let replica = &mut self.replica;
        let scan = replica.scan_owed || replica.dirty_overflowed && one_moment;
        let plan = Plan::new(replica.version, replica.position, replica.dirty(), scan);
        let is_behind = self.database.complete_through() < Some(replica.position);
        if plan.to_load == 0 && !plan.scan && replica.unsaved() == 0 && !is_behind {
            return None;
        }
        if one_moment {
            replica.scan_owed |= std::mem::take(&mut replica.dirty_overflowed);
        }
        replica.disturbed = false;
        replica.round = Round::Begun(plan);
        Some(())
    }

    fn read_through(&mut self, mut plan: Plan) -> Option<()> {
        if self.database.version != plan.version {
            return self.try_later();
        }
        plan.before = self.database.complete_through();
        plan.scan |= plan.before.is_none() && self.has(Clause::StateThrough);
        self.replica.round = if plan.scan { Round::Scanning(plan) } else { Round::Loading(plan) };
        Some(())
    }

    fn scan(&mut self, mut plan: Plan) -> Option<()> {
        for class in 0..CLASSES {
            let through = self.database.row(class).map_or(0, |row| row.through);
            if self.database.after(class, through.max(plan.before.unwrap_or(0))) != 0 {
                plan.to_load |= 1 << class;
                plan.behind |= 1 << class;
            }
        }
        self.replica.round = Round::Loading(plan);
        Some(())
    }

    fn end_load(&mut self, plan: Plan) -> Option<()> {
        let class = plan.next_to_load();
        self.replica.end_load(plan)?;
        let was_found = plan.behind & plan.to_load & (1 << class.min(CLASSES)) != 0;
        if was_found
            && self.has(Clause::Found)
            && let Slot::Live(live) = &mut self.replica.slots[class]
        {
            live.mark_unsaved();
        }
        // The unsaved classes are looked up after the last one was marked.
        if let Round::Writing(plan, _) = self.replica.round {
            self.replica.round = Round::Writing(plan, self.replica.unsaved());
        }
        Some(())
    }

    /// A class cannot be loaded: the others are written, and the round counts for nothing.
    fn give_up(&mut self, mut plan: Plan) -> Option<()> {
        if plan.to_load == 0 {
            return None;
        }
        (plan.to_load, plan.incomplete) = (0, true);
        self.replica.round = Round::Writing(plan, self.replica.unsaved());
        Some(())
    }

    /// Writes the next class, in one transaction.
    fn write(&mut self, mut plan: Plan, to_write: ClassSet) -> Option<()> {
        if to_write == 0 {
            return None;
        }
        let class = to_write.trailing_zeros() as usize;
        if self.database.version != plan.version && self.has(Clause::Version) {
            return self.try_later();
        }
        let to_write = to_write & !(1 << class);
        let snapshot_through = self.database.row(class).map(|row| row.through);
        let position = self.replica.position;
        let dropped = self.replica.disturbed && self.has(Clause::Dropped);
        let (never_back, onto_base) = (self.has(Clause::Back), self.has(Clause::Changes));
        let live = match &mut self.replica.slots[class] {
            Slot::Live(live) if !dropped => Some(live),
            _ => None,
        };
        let is_ahead = |through| snapshot_through > Some(through) && never_back;
        let Some(live) = live.filter(|live| !is_ahead(live.through(position))) else {
            plan.incomplete = true;
            self.replica.round = Round::Writing(plan, to_write);
            return Some(());
        };
        let through = live.through(position);
        let is_base = snapshot_through.is_some() && snapshot_through == live.base || !onto_base;
        let events = match self.database.snapshots.rows[class] {
            Some(row) if !live.whole && is_base => row.events | live.changes,
            _ => live.events,
        };
        let nonce = self.database.version.nonce;
        self.database.snapshots.rows[class] = Some(Row { nonce, through, events });
        (live.changes, live.whole) = (0, true);
        plan.wrote = true;
        let written = WrittenClass { class, last: live.last, through };
        self.replica.round = Round::Written(plan, to_write, written);
        Some(())
    }

    /// The answer to a write arrives.
    fn answer(&mut self, mut plan: Plan, to_write: ClassSet, written: WrittenClass) -> Option<()> {
        let WrittenClass { class, last, through } = written;
        plan.behind &= !(1 << class);
        let replica = &mut self.replica;
        if let Slot::Live(live) = &mut replica.slots[class]
            && !replica.disturbed
        {
            live.saved = live.saved.max(last);
            (live.base, live.whole) = (Some(through), false);
        }
        if !replica.disturbed && replica.dirty[class].is_some_and(|last| last <= through) {
            replica.dirty[class] = None;
        }
        replica.round = Round::Writing(plan, to_write);
        Some(())
    }

    fn finish(&mut self, plan: Plan) -> Option<()> {
        let is_ahead = plan.before >= Some(plan.position);
        let unwritten = plan.behind != 0 && self.has(Clause::Found);
        let dropped = self.replica.disturbed && self.has(Clause::Dropped);
        if plan.incomplete || unwritten || dropped {
            return self.try_later();
        }
        if !is_ahead {
            let is_same_version = self.database.version == plan.version;
            let is_same_through = self.database.complete_through() == plan.before;
            if !is_same_version && self.has(Clause::Version)
                || !is_same_through && self.has(Clause::StateThrough)
            {
                return self.try_later();
            }
            self.database.set_complete_through(plan.position);
        }
        let one_moment = self.has(Clause::Moment);
        let replica = &mut self.replica;
        for class in 0..CLASSES {
            let saved = replica.live(class).filter(|live| !live.is_unsaved());
            let through = saved.map(|live| live.through(replica.position));
            if replica.dirty[class].is_some_and(|last| through >= Some(last)) {
                replica.dirty[class] = None;
            }
        }
        replica.scan_owed = !one_moment && std::mem::take(&mut replica.dirty_overflowed);
        replica.round = Round::Rest;
        Some(())
    }
}
