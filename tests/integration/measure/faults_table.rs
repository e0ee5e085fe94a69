//! `make faults`: every fault at full scale, in one table.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::operations::faults_patroni::{self as patroni, Fault, Way};
use crate::operations::{
    faults_database as database, faults_failover as failover, faults_network as network,
};
use crate::support::stage::{Outcome, Replication, Scale};

/// The play with this name, or `None` if this machine cannot run it.
fn plays() -> Vec<(&'static str, LocalBoxFuture<'static, Option<Outcome>>)> {
    const FULL: Scale = Scale::FULL;
    async fn always(play: impl Future<Output = Outcome>) -> Option<Outcome> {
        Some(play.await)
    }
    vec![
        ("killed", always(database::killed(FULL)).boxed_local()),
        ("restarted", always(database::restarted(FULL)).boxed_local()),
        ("pooled", always(database::pooled(FULL)).boxed_local()),
        ("synchronous", always(failover::synchronous_failover(FULL)).boxed_local()),
        ("asynchronous", always(failover::asynchronous_failover(FULL)).boxed_local()),
        ("both-alive", always(failover::both_alive(FULL)).boxed_local()),
        ("hangs", always(failover::old_one_hangs(FULL)).boxed_local()),
        ("new-connections", always(failover::only_new_connections(FULL)).boxed_local()),
        ("only-writers", always(failover::only_one_part(FULL, "writer")).boxed_local()),
        ("only-tails", always(failover::only_one_part(FULL, "tail")).boxed_local()),
        ("there-and-back", always(failover::there_and_back(FULL)).boxed_local()),
        ("timeline", always(failover::recurring_timeline(FULL)).boxed_local()),
        ("half-open-tail", always(network::half_open_tail(FULL)).boxed_local()),
        ("half-open", always(network::all_half_open(FULL)).boxed_local()),
        (
            "frozen-leader",
            network::frozen_leader(FULL).map(|(outcome, _)| Some(outcome)).boxed_local(),
        ),
        (
            "vanished-leader",
            network::vanished_leader(FULL).map(|played| Some(played?.0)).boxed_local(),
        ),
        ("vanished-primary", network::vanished_primary(FULL).boxed_local()),
        (
            "notify-54000",
            always(database::raising(FULL, "NOTIFY queue full (54000 raised)", "54000"))
                .boxed_local(),
        ),
        ("notify-full", always(database::notify_full(FULL)).boxed_local()),
        (
            "trigger",
            always(database::raising(FULL, "a trigger raises P0001", "P0001")).boxed_local(),
        ),
        ("disk-full", database::disk_full(FULL).boxed_local()),
        ("standby-gone", always(failover::standby_gone(FULL)).boxed_local()),
        ("cut-off-standby", always(failover::cut_off_standby(FULL)).boxed_local()),
        ("read-only", always(database::read_only(FULL)).boxed_local()),
        ("no-insert", always(database::no_insert(FULL)).boxed_local()),
        ("abandoned-reads", always(database::abandoned_reads(FULL)).boxed_local()),
    ]
}

/// The plays on a Patroni cluster: every fault, each way to the database, with and without
/// synchronous replication.
fn patroni_plays() -> Vec<(String, LocalBoxFuture<'static, Option<Outcome>>)> {
    let faults = [Fault::Switchover, Fault::Killed, Fault::Frozen, Fault::CutOff];
    let mut plays = Vec::new();
    for fault in faults {
        for way in [Way::Hosts, Way::HaProxy] {
            for replication in [Replication::Synchronous, Replication::Asynchronous] {
                plays.push((fault, way, replication));
            }
        }
    }
    plays.push((Fault::Killed, Way::Hosts, Replication::Strict));
    plays.push((Fault::Crashed, Way::Hosts, Replication::Synchronous));
    let named = |(fault, way, replication)| {
        let name = format!("patroni-{fault:?}-{way:?}-{replication:?}").to_lowercase();
        (name, patroni::play(Scale::FULL, fault, way, replication).boxed_local())
    };
    plays.into_iter().map(named).collect()
}

/// Whether a word of `FAULTS` means this play: its name, or the beginning of it and an asterisk.
fn named(word: &str, name: &str) -> bool {
    word.strip_suffix('*').map_or(word == name, |beginning| name.starts_with(beginning))
}

/// Runs every play, or those that `FAULTS` names, separated by commas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of some ten minutes: make faults"]
async fn table() {
    let wanted = std::env::var("FAULTS").unwrap_or_default();
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    let plays = plays().into_iter().map(|(name, play)| (name.to_owned(), play));
    for (name, play) in plays.chain(patroni_plays()) {
        // It needs 8 GB and some minutes, so it runs only if it is named.
        if wanted.is_empty() && name == "notify-full" {
            continue;
        }
        if !wanted.is_empty() && !wanted.split(',').any(|one| named(one, &name)) {
            continue;
        }
        match AssertUnwindSafe(play).catch_unwind().await {
            Ok(Some(outcome)) => {
                if let Some(first) = outcome.report.violations.first() {
                    let text = outcome.report.explain(first, &outcome.history);
                    eprintln!("{name}: {text}\n{}", outcome.state());
                    wrong.push(format!("{name}: {}", first.text));
                }
                wrong.extend(outcome.wrong.iter().map(|text| format!("{name}: {text}")));
                rows.push(outcome.row());
            }
            Ok(None) => rows.push(format!("| {name} | skipped |")),
            Err(_) => {
                rows.push(format!("| {name} | **did not end** |"));
                wrong.push(format!("{name}: it panicked (see above)"));
            }
        }
        eprintln!("{}", rows[rows.len() - 1]);
    }
    println!("\n{}\n{}\n", Outcome::HEAD, rows.join("\n"));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}
