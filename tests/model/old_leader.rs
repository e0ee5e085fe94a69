//! The steps of the leader's round as it was in release 0.1.0.

use crate::action::Action;
use crate::database::{CLASSES, ClassSet, Row};
use crate::leader::Leader;
use crate::replica::Slot;
use crate::round::{Plan, Round, WrittenClass};
use crate::rule::Rule;

impl Leader<'_> {
    /// One step; `None` where it is not possible.
    pub fn old_step(&mut self, action: Action) -> Option<()> {
        match (action, self.replica.round) {
            (Action::Begin(_), Round::Rest) => self.old_begin(),
            (Action::Scan(_), Round::Scanning(plan)) => self.old_scan(plan),
            (Action::EndLoad(_), Round::Loading(plan)) => self.replica.end_load(plan)?,
            (Action::Compare(_), Round::Writing(plan, to_write)) if to_write != 0 => {
                self.old_compare(plan, to_write);
            }
            (Action::Write(_), Round::Compared(plan, to_write, class)) => {
                self.old_write(plan, to_write, class);
            }
            (Action::Answer(_), Round::Written(plan, to_write, written)) => {
                self.old_answer(plan, to_write, written);
            }
            (Action::Finish(_), Round::Writing(plan, 0)) => self.old_finish(plan),
            _ => return None,
        }
        Some(())
    }

    fn old_begin(&mut self) {
        let replica = &mut self.replica;
        let scan = replica.scan_owed;
        let plan = Plan::new(replica.version, replica.position, replica.dirty(), scan);
        replica.round = if scan { Round::Scanning(plan) } else { Round::Loading(plan) };
    }

    fn old_scan(&mut self, mut plan: Plan) {
        let from = self.database.complete_through().unwrap_or(0);
        for class in (0..CLASSES).filter(|&class| self.database.after(class, from) != 0) {
            plan.to_load |= 1 << class;
        }
        self.replica.round = Round::Loading(plan);
    }

    fn old_compare(&mut self, plan: Plan, to_write: ClassSet) {
        if self.database.version.nonce != plan.version.nonce {
            self.replica.round = Round::Rest;
            self.replica.scan_owed = true;
        } else {
            let class = to_write.trailing_zeros() as usize;
            self.replica.round = Round::Compared(plan, to_write & !(1 << class), class);
        }
    }

    fn old_write(&mut self, mut plan: Plan, to_write: ClassSet, class: usize) {
        let position = self.replica.position;
        match &mut self.replica.slots[class] {
            Slot::Live(live) if live.nonce == plan.version.nonce => {
                let through = live.through(position);
                let events = match self.database.snapshots.rows[class] {
                    Some(row) if !live.whole => row.events | live.changes,
                    _ => live.events,
                };
                let nonce = self.database.version.nonce;
                self.database.snapshots.rows[class] = Some(Row { nonce, through, events });
                (live.changes, live.whole) = (0, false);
                plan.wrote = true;
                let written = WrittenClass { class, last: live.last, through };
                self.replica.round = Round::Written(plan, to_write, written);
            }
            _ => self.replica.round = Round::Writing(plan, to_write),
        }
    }

    fn old_answer(&mut self, plan: Plan, to_write: ClassSet, written: WrittenClass) {
        let WrittenClass { class, last, .. } = written;
        let replica = &mut self.replica;
        if let Slot::Live(live) = &mut replica.slots[class] {
            live.saved = live.saved.max(last);
        }
        if replica.dirty[class].is_some_and(|dirty| dirty <= last) {
            replica.dirty[class] = None;
        }
        replica.round = Round::Writing(plan, to_write);
    }

    fn old_finish(&mut self, plan: Plan) {
        let replica = &mut self.replica;
        let is_same_nonce = self.database.version.nonce == plan.version.nonce;
        if self.rule == Rule::OldStamped && !is_same_nonce {
            (replica.scan_owed, replica.round) = (true, Round::Rest);
            return;
        }
        if plan.wrote || plan.scan {
            self.database.set_complete_through(plan.position);
        }
        replica.scan_owed = std::mem::take(&mut replica.dirty_overflowed);
        replica.round = Round::Rest;
    }
}
