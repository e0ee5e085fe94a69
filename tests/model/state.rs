//! The state of the world, and what must be true of it.

use crate::budget::Budget;
use crate::database::{CLASSES, Database};
use crate::replica::{Replica, Slot};
use crate::round::Round;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub database: Database,
    pub replicas: Vec<Replica>,
    /// What may still happen.
    pub left: Budget,
}

impl State {
    /// Clears what no step will look at again, so that there are fewer states.
    pub fn normalize(&mut self) {
        for (r, replica) in self.replicas.iter_mut().enumerate() {
            let leads = self.database.leader == Some(r);
            replica.scan_owed &= leads;
            replica.disturbed &= replica.round != Round::Rest;
            // While an answer is on its way, the changes are those since what was written.
            let is_answered = !matches!(replica.round, Round::Written(..));
            for slot in &mut replica.slots {
                if let Slot::Live(live) = slot {
                    live.whole |= !leads;
                    if live.whole && is_answered {
                        live.changes = 0;
                    }
                }
            }
        }
    }

    /// A replica that is started now has every class right.
    pub fn is_stored_right(&self) -> bool {
        (0..CLASSES).all(|class| {
            let (events, through) = self.database.snapshot(class);
            events | self.database.after(class, through) == self.database.after(class, 0)
        })
    }

    /// The classes in a replica's memory are right as soon as its tail knows the log's version.
    pub fn is_memory_right(&self) -> bool {
        let database = &self.database;
        let knows = |replica: &&Replica| replica.version == database.version;
        self.replicas.iter().filter(knows).all(|replica| {
            (0..CLASSES).all(|class| {
                let Some(live) = replica.live(class) else { return true };
                let through = live.through(replica.position);
                let folded = database
                    .select(database.present, |event| event.class == class && event.id <= through);
                live.nonce != database.version.nonce || live.events == folded
            })
        })
    }

    /// Everything that may happen has happened, and the snapshots hold every event.
    pub fn is_complete(&self, budget: &Budget) -> bool {
        let &Budget { replicas, classes, bound, .. } = budget;
        let is_used_up = self.left == Budget { replicas, classes, bound, ..Budget::default() };
        let newest = self.database.newest();
        is_used_up && newest > 0 && self.database.complete_through() == Some(newest)
    }
}
