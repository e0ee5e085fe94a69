//! The rule by which snapshots of class state are written, checked exhaustively for small numbers.
//!
//! `src/housekeeping/snapshots.rs` states the rule in words. This is the same rule as a machine of
//! small steps: a table of events, the rows of snapshots, `state_through`, and replicas that tail
//! the table, load classes, are elected, write and die. Between any two steps anything else may
//! happen. The checker visits every state that can be reached. In each of them it loads every class
//! from the snapshots and the table, as a replica does that has just been started, and compares the
//! result with the table. That the real fold makes the same state of the same events is the shared
//! vectors' business (`tests/vectors`).
//!
//! - `rule`: the rules and their clauses; `budget`: how often each thing may happen
//! - `database`, `replica`, `round`: the parts of the world; `state`: all of it, and what must be
//!   true
//! - `action`: the steps; `machine`: what each makes of the state; `leader`, `old_leader`: those of
//!   a round, by the rule of this release and by that of 0.1.0
//!
//! The checker has to find the two faults of the rule of 0.1.0, or it could not be trusted on the
//! new one.

#![allow(unreachable_pub, reason = "no other crate uses a program: `pub` says nothing more")]

mod action;
mod budget;
mod database;
mod leader;
mod machine;
mod old_leader;
mod replica;
mod round;
mod rule;
mod state;

use action::Action;
use budget::Budget;
use machine::Machine;
use rule::{Clause, Rule};
use stateright::{Checker, Model};

/// A search visits no more states than this, so that a mistake in the model ends.
const MOST_STATES: usize = 100_000_000;

fn explore(name: &str, machine: Machine) -> impl Checker<Machine> {
    let began = std::time::Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker =
        machine.checker().threads(threads).target_state_count(MOST_STATES).spawn_bfs().join();
    println!(
        "{name}: {} states by {} steps, {} deep, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f32()
    );
    checker
}

/// Every state that can be reached is right, and the budget is used up in some of them.
fn holds(name: &str, budget: Budget) {
    let checker = explore(name, Machine { rule: Rule::Verified, budget });
    for wrong in ["stored", "memory"] {
        if let Some(path) = checker.discovery(wrong) {
            panic!("{name}: {wrong} is wrong after {:?}", path.into_actions());
        }
    }
    assert!(checker.state_count() < MOST_STATES, "{name}: the search was cut off");
    checker.assert_any_discovery("complete");
}

/// A rule is found wrong. Returns how many steps the shortest way there has.
fn fails(name: &str, rule: Rule, budget: Budget) -> usize {
    let machine = Machine { rule, budget };
    let mut shortest: Option<Vec<Action>> = None;
    loop {
        // The checker stops at any way; a shorter one is looked for until there is none.
        let most = shortest.as_ref().map_or(usize::MAX, Vec::len);
        let checker = machine.clone().checker().target_max_depth(most).spawn_bfs().join();
        match checker.discovery("stored") {
            Some(path) => {
                let actions = machine.until_wrong(path.into_actions());
                assert!(actions.len() < most, "{name}: no shorter way");
                shortest = Some(actions);
            }
            None => {
                break println!(
                    "{name}: {} states without a shorter way",
                    checker.unique_state_count()
                );
            }
        }
    }
    let actions = shortest.unwrap_or_else(|| panic!("{name}: the fault was not found"));
    println!("{name}: wrong after {} steps: {actions:?}", actions.len());
    actions.len()
}

#[test]
fn the_old_rule_empties_classes_when_the_nonce_is_renewed_under_it() {
    let budget = Budget { posts: 1, renewals: 1, bound: 2, ..Budget::default() };
    // A position under the nonce before is stamped with the nonce after.
    assert!(fails("old rule, a renewal", Rule::Old, budget) > 5);
    // Another fault: the flag is read in one round, and taken at the end of the round before.
    let budget = Budget { posts: 2, ..budget };
    assert!(fails("old rule, a reset while it rests", Rule::OldStamped, budget) > 5);
}

#[test]
fn the_old_rule_forgets_classes_when_too_many_are_dirty() {
    assert!(fails("old rule, overflow", Rule::Old, Budget { posts: 2, ..Budget::default() }) > 5);
}

/// The rule needs its clauses. (Without the third no fault is found: every step that voids
/// `state_through` changes the version too.)
#[test]
fn each_clause_is_needed() {
    let one = Budget { posts: 2, losses: 1, ..Budget::default() };
    for (clause, budget) in [
        (Clause::Moment, one),
        (Clause::Version, Budget { renewals: 1, ..one }),
        (Clause::Changes, Budget { deletes: 1, ..one }),
        (Clause::Back, Budget { replicas: 2, classes: 1, reads: 1, ..one }),
        (Clause::Dropped, Budget { resets: 1, losses: 0, bound: 2, ..one }),
        (Clause::Found, Budget { outages: 1, losses: 0, ..one }),
    ] {
        fails(&format!("without {clause:?}"), Rule::Without(clause), budget);
    }
}

#[test]
fn renewals_and_overflows() {
    holds("renewals", Budget { posts: 2, renewals: 2, ..Budget::default() });
    holds("overflows", Budget { posts: 3, evictions: 1, ..Budget::default() });
}

#[test]
fn crashes_and_lost_sessions() {
    holds("crashes", Budget { posts: 2, crashes: 1, losses: 1, ..Budget::default() });
    holds("outages", Budget { posts: 2, outages: 1, evictions: 1, ..Budget::default() });
}

#[test]
fn a_leader_that_lags_behind_the_one_before() {
    let two = Budget { replicas: 2, classes: 1, posts: 2, losses: 1, ..Budget::default() };
    holds("two replicas", Budget { reads: 1, ..two });
    holds("two replicas, a renewal", Budget { posts: 1, reads: 1, renewals: 1, ..two });
    holds("two replicas, a delete", Budget { deletes: 1, ..two });
}

#[test]
fn deletes_and_truncates() {
    holds("deletes", Budget { posts: 2, deletes: 1, losses: 1, ..Budget::default() });
    holds("truncates", Budget { posts: 2, truncates: 1, losses: 1, ..Budget::default() });
    holds("rebuilds", Budget { posts: 2, rebuilds: 1, losses: 1, ..Budget::default() });
}

#[test]
fn resets_within_an_epoch_and_adopted_snapshots() {
    holds("resets", Budget { posts: 2, resets: 1, losses: 1, ..Budget::default() });
    holds("adoptions", Budget { posts: 2, adoptions: 1, losses: 1, ..Budget::default() });
}

#[test]
fn the_list_of_classes() {
    holds("the list", Budget { posts: 2, renewals: 1, lists: 1, bound: 2, ..Budget::default() });
}

/// Larger numbers, for minutes each.
#[test]
#[ignore = "minutes each: make model"]
fn larger_numbers() {
    let some = Budget { posts: 3, losses: 1, ..Budget::default() };
    holds("renewals", Budget { posts: 3, renewals: 2, evictions: 1, ..Budget::default() });
    holds("crashes", Budget { renewals: 1, crashes: 1, ..some });
    holds("outages", Budget { outages: 1, evictions: 1, ..some });
    holds("deletes", Budget { deletes: 2, ..some });
    holds("truncates", Budget { truncates: 1, renewals: 1, ..some });
    holds("resets", Budget { resets: 1, adoptions: 1, ..some });
    holds(
        "two replicas",
        Budget { replicas: 2, posts: 2, crashes: 1, losses: 1, ..Budget::default() },
    );
    let two =
        Budget { replicas: 2, classes: 1, posts: 2, losses: 1, reads: 1, ..Budget::default() };
    holds("two replicas, a renewal", Budget { renewals: 1, ..two });
    holds("two replicas, a delete", Budget { deletes: 1, losses: 2, ..two });
    holds("two replicas, an outage", Budget { outages: 1, losses: 0, ..two });
}
