//! The machine: the state of the world, and what each step makes of it.

use stateright::{Model, Property};

use crate::action::Action;
use crate::budget::{Budget, take};
use crate::database::{Class, Database};
use crate::leader::Leader;
use crate::replica::{Replica, Slot};
use crate::round::Round;
use crate::rule::Rule;
use crate::state::State;

#[derive(Debug, Clone)]
pub struct Machine {
    pub rule: Rule,
    pub budget: Budget,
}

impl Model for Machine {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let database = Database::new();
        let replicas = (0..self.budget.replicas).map(|_| Replica::start(&database)).collect();
        vec![State { database, replicas, left: self.budget }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        for class in 0..left.classes {
            actions.extend([Action::Post(class), Action::Delete(class), Action::Rebuild(class)]);
        }
        actions.extend([Action::Renew, Action::Adopt, Action::Truncate]);
        actions.extend([Action::Flush, Action::Outage]);
        for (r, replica) in state.replicas.iter().enumerate() {
            actions.extend(Action::of_replica(r));
            actions.push(Action::Crash(r));
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
        if action.waits_for_the_disk() || next.left.outages == 0 {
            next.database.flush();
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
                state.is_complete(&machine.budget)
            }),
        ]
    }
}

impl Machine {
    /// As many of these actions as lead to a state in which the snapshots are wrong.
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
        if let Some(r) = action.of_round() {
            return self.round_step(state, action, r);
        }
        let State { database, replicas, left } = state;
        match action {
            Action::Post(class) => {
                take(&mut left.posts)?;
                database.post(class)
            }
            Action::Renew => {
                database.renew();
                take(&mut left.renewals)
            }
            Action::Adopt => {
                database.adopt();
                take(&mut left.adoptions)
            }
            Action::Delete(class) => {
                database.delete_oldest(class)?;
                take(&mut left.deletes)
            }
            Action::Truncate => {
                database.truncate()?;
                take(&mut left.truncates)
            }
            Action::Rebuild(class) => {
                database.rebuild(class)?;
                take(&mut left.rebuilds)
            }
            Action::Flush => {
                database.flush();
                (left.outages > 0).then_some(())
            }
            Action::Outage => {
                database.crash();
                replicas.iter_mut().for_each(Replica::resign);
                take(&mut left.outages)
            }
            _ => self.replica_step(state, action),
        }
    }

    /// A step of a replica that is none of a leader's round.
    fn replica_step(&self, state: &mut State, action: Action) -> Option<()> {
        let is_verified = self.rule.is_verified();
        let State { database, replicas, left } = state;
        match action {
            Action::Crash(r) => {
                replicas[r] = Replica::start(database);
                database.leader = database.leader.filter(|&leader| leader != r);
                take(&mut left.crashes)
            }
            Action::LoseSession(r) => {
                database.leader.take_if(|leader| *leader == r)?;
                replicas[r].resign();
                take(&mut left.losses)
            }
            Action::Elect(r) => {
                if database.leader.is_some() {
                    return None;
                }
                database.leader = Some(r);
                replicas[r].track_changes();
                replicas[r].scan_owed = true;
                Some(())
            }
            Action::TailResets(r) => {
                replicas[r].reset(database);
                take(&mut left.resets)
            }
            Action::Tail(r) => {
                replicas[r].look(database, self.budget.bound);
                Some(())
            }
            Action::LoadSnapshot(r, class) => self.load_snapshot(state, r, class),
            Action::LoadEvents(r, class) => replicas[r].load_events(database, class),
            Action::Evict(r, class) => {
                let live = replicas[r].live(class)?;
                if database.leader == Some(r) && live.is_unsaved() {
                    return None;
                }
                replicas[r].slots[class] = Slot::Absent;
                take(&mut left.evictions)
            }
            Action::ReadList(r) => {
                let row = |class: Class| {
                    let stored = database.snapshots.rows[class];
                    let row = if is_verified { database.row(class) } else { stored };
                    row.map(|row| row.through)
                };
                replicas[r].list = Some((database.version, std::array::from_fn(row)));
                take(&mut left.lists)
            }
            Action::ApplyList(r) => replicas[r].apply_list(is_verified),
            _ => None,
        }
    }

    fn load_snapshot(&self, state: &mut State, r: usize, class: Class) -> Option<()> {
        let State { database, replicas, left } = state;
        let replica = &mut replicas[r];
        let is_same_nonce = database.version.nonce == replica.version.nonce;
        if replica.slots[class] != Slot::Absent || self.rule.is_verified() && !is_same_nonce {
            return None;
        }
        if !matches!(replica.round, Round::Loading(plan) if plan.next_to_load() == class) {
            take(&mut left.reads)?;
        }
        replica.load_snapshot(database, class);
        Some(())
    }

    fn round_step(&self, state: &mut State, action: Action, r: usize) -> Option<()> {
        let State { database, replicas, .. } = state;
        if database.leader != Some(r) {
            return None;
        }
        let mut leader = Leader { rule: self.rule, database, replica: &mut replicas[r] };
        if self.rule.is_verified() { leader.step(action) } else { leader.old_step(action) }
    }
}
