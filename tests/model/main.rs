//! The rule by which snapshots of class state are written, checked exhaustively for small numbers.
//!
//! `src/state/keeper.rs` states the rule in words. This is the same rule as a machine of small steps: a table of events, the
//! rows of snapshots, `state_through`, and replicas that tail the table, load classes, are elected, write and die. Between any
//! two steps anything else may happen. The checker visits every state that can be reached. In each of them it loads every
//! class from what is stored, as a replica does that has just been started, and compares that with the table.
//!
//! The rule of release 0.1.0 is here too: the checker has to find its two faults, or it could not be trusted on the new one.

mod machine;

use machine::{Budget, Machine, Rule};
use stateright::{Checker, Model};

/// What is searched at most, so that a mistake in the model ends.
const MOST_STATES: usize = 20_000_000;

fn explore(name: &str, machine: Machine) -> impl Checker<Machine> {
    let began = std::time::Instant::now();
    // With one thread alone the first way found is the shortest.
    let threads = match machine.rule {
        Rule::Old => 1,
        Rule::Verified => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let checker = machine.checker().threads(threads).target_state_count(MOST_STATES).spawn_bfs().join();
    println!(
        "{name}: {} states by {} steps, {} deep, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f32()
    );
    checker
}

/// Every state that can be reached is right, and the search was no empty one.
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

/// The rule of 0.1.0 is found wrong; the shortest way there.
fn fails(name: &str, budget: Budget) -> usize {
    let checker = explore(name, Machine { rule: Rule::Old, budget });
    let path = checker.discovery("stored").unwrap_or_else(|| panic!("{name}: the fault was not found"));
    let actions = path.into_actions();
    println!("{name}: {} steps: {actions:?}", actions.len());
    actions.len()
}

#[test]
fn the_old_rule_empties_classes_when_the_nonce_is_renewed_under_it() {
    let budget = Budget { replicas: 1, posts: 2, renewals: 2, bound: 2, ..Budget::default() };
    assert!(fails("old rule, renewals", budget) > 3);
}

#[test]
fn the_old_rule_forgets_classes_when_too_many_are_heard_of() {
    let budget = Budget { replicas: 1, posts: 2, bound: 1, ..Budget::default() };
    assert!(fails("old rule, overflow", budget) > 3);
}

#[test]
fn renewals_and_overflows() {
    let budget = Budget { replicas: 1, posts: 3, renewals: 2, evictions: 1, bound: 1, ..Budget::default() };
    holds("renewals and overflows", budget);
}

#[test]
fn crashes_and_lost_sessions() {
    let budget =
        Budget { replicas: 1, posts: 3, renewals: 1, crashes: 1, losses: 1, bound: 1, ..Budget::default() };
    holds("crashes and lost sessions", budget);
}

#[test]
fn a_leader_that_lags_behind_the_one_before() {
    let budget = Budget { replicas: 2, posts: 2, losses: 1, crashes: 1, bound: 1, ..Budget::default() };
    holds("two replicas, elections", budget);
}

#[test]
fn two_replicas_and_a_renewal() {
    let budget = Budget { replicas: 2, posts: 2, renewals: 1, losses: 1, bound: 1, ..Budget::default() };
    holds("two replicas, a renewal", budget);
}

#[test]
fn deletes() {
    let budget =
        Budget { replicas: 1, posts: 3, deletes: 2, losses: 1, evictions: 1, bound: 1, ..Budget::default() };
    holds("deletes", budget);
}

#[test]
fn a_truncated_table_whose_ids_begin_again() {
    let budget = Budget { replicas: 1, posts: 3, truncates: 1, losses: 1, bound: 1, ..Budget::default() };
    holds("truncates", budget);
}

#[test]
fn resets_within_an_epoch_and_adopted_snapshots() {
    let budget =
        Budget { replicas: 1, posts: 2, resets: 1, adoptions: 1, losses: 1, bound: 1, ..Budget::default() };
    holds("resets and adoptions", budget);
}

#[test]
fn the_list_of_classes() {
    let budget = Budget { replicas: 1, posts: 2, renewals: 1, lists: 1, bound: 2, ..Budget::default() };
    holds("the list of classes", budget);
}
