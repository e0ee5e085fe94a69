//! The primary changes: failovers, split brains, synchronous standbys. Under load, with dashboards,
//! and judged by the checker.

use std::time::Duration;

use super::faults_database::RECOVERY;
use crate::support::checker::{AGREEMENT, LATE, Promise};
use crate::support::stage::{Cluster, DATABASE, Outcome, PgProxy, Play, Route, Scale, url, url_of};
use crate::support::{Relay, event, until};

/// The name of the standby that commits wait for.
const STANDBY: &str = "standby";

/// A primary and a standby that streams from it.
async fn asynchronous() -> (Cluster, Cluster) {
    let primary = Cluster::primary("primary").await;
    let standby = primary.standby(STANDBY).await;
    (primary, standby)
}

/// A primary and a standby that its commits wait for.
async fn synchronous() -> (Cluster, Cluster) {
    let (primary, standby) = asynchronous().await;
    primary.set("synchronous_standby_names", STANDBY).await;
    primary.has_synchronous_standbys(1).await;
    (primary, standby)
}

/// The primary is killed, and the standby has every commit.
pub async fn synchronous_failover(scale: Scale) -> Outcome {
    let (mut primary, standby) = synchronous().await;
    let name = "synchronous failover";
    let play = Play::begin(name, scale, Promise::Durable, &url(&[&primary, &standby])).await;
    play.cause("kill -9 of the primary");
    primary.kill();
    play.fail_over(&standby).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synchronous_standby_takes_over() {
    synchronous_failover(Scale::SMALL).await.assert_good(RECOVERY);
}

/// The primary is killed, and the standby lacks the last second.
pub async fn asynchronous_failover(scale: Scale) -> Outcome {
    let mut primary = Cluster::primary("primary").await;
    let cable = PgProxy::to(primary.address()).await;
    let standby = primary.standby_by(STANDBY, cable.address()).await;
    let name = "asynchronous failover, 1 s behind";
    let play = Play::begin(name, scale, Promise::Asynchronous, &url(&[&primary, &standby])).await;
    play.note("replication stalls");
    assert!(cable.stall(STANDBY) > 0, "a replication");
    tokio::time::sleep(Duration::from_secs(1)).await;
    play.cause("kill -9 of the primary");
    primary.kill();
    cable.lead("", Route::Closed);
    cable.cut("");
    play.fail_over(&standby).await
}

/// The loss is announced. There must be a loss, or the test has tested nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asynchronous_standby_takes_over() {
    let outcome = asynchronous_failover(Scale::SMALL).await;
    outcome.assert_good(RECOVERY);
    assert!(outcome.report.orphaned_announced > 0, "{}", outcome.row());
}

/// Split brain 1: both are primaries, and the URL names both.
pub async fn both_alive(scale: Scale) -> Outcome {
    let (primary, standby) = asynchronous().await;
    let name = "split brain: both alive, both in the URL";
    let play = Play::begin(name, scale, Promise::Asynchronous, &url(&[&primary, &standby])).await;
    play.cause("the standby is promoted, the primary lives on");
    play.fail_over(&standby).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_primary_lives_on() {
    both_alive(Scale::SMALL).await.assert_good(RECOVERY);
}

/// Split brain 2: the old primary hangs, and comes back once the new one has taken over.
pub async fn old_one_hangs(scale: Scale) -> Outcome {
    let (primary, standby) = asynchronous().await;
    let name = "split brain: the old primary hangs";
    let play = Play::begin(name, scale, Promise::Asynchronous, &url(&[&primary, &standby])).await;
    play.cause("SIGSTOP for the primary");
    primary.freeze();
    standby.promote().await;
    play.reachable();
    play.ends();
    // The relays find the new primary meanwhile.
    play.calm().await;
    play.note("SIGCONT for the old primary");
    primary.thaw();
    play.finish(&standby).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_primary_hangs() {
    old_one_hangs(Scale::SMALL).await.assert_good(RECOVERY);
}

/// A primary, a standby, and an address that leads to the primary at first.
async fn behind_an_address() -> (Cluster, Cluster, PgProxy) {
    let (primary, standby) = asynchronous().await;
    let address = PgProxy::to(primary.address()).await;
    (primary, standby, address)
}

/// Split brain 3: the address moves, and open connections stay.
pub async fn only_new_connections(scale: Scale) -> Outcome {
    let (primary, standby, address) = behind_an_address().await;
    let name = "split brain: only new connections move";
    let play = Play::begin(name, scale, Promise::Asynchronous, &url_of(&[address.address()])).await;
    play.cause("the standby is promoted, new connections lead to it");
    standby.promote().await;
    address.lead("", Route::To(standby.address()));
    play.reachable();
    let outcome = play.recover(&standby).await;
    drop(primary);
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_new_connections_lead_to_the_new_primary() {
    only_new_connections(Scale::SMALL).await.assert_good(RECOVERY);
}

/// Split brains 4 and 5: only the connections of one part move, and seconds later all of them.
pub async fn only_one_part(scale: Scale, part: &str) -> Outcome {
    let (primary, standby, address) = behind_an_address().await;
    let name = format!("split brain: only the {part} moves");
    let play =
        Play::begin(&name, scale, Promise::Asynchronous, &url_of(&[address.address()])).await;
    play.cause(&format!("the standby is promoted, the {part}'s connections lead to it"));
    standby.promote().await;
    address.lead(part, Route::To(standby.address()));
    play.reachable();
    assert!(address.cut(part) > 0, "a connection of the {part}");
    let begun = play.now();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let apart = play.acknowledged_between(begun + AGREEMENT + LATE, play.now());
    play.note("all connections lead to the new primary");
    address.lead("", Route::To(standby.address()));
    address.cut("");
    let mut outcome = play.recover(&standby).await;
    drop(primary);
    let text = format!("{apart} events were acknowledged while connections led to two servers");
    outcome.must(apart == 0, text);
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_writers_lead_to_the_new_primary() {
    only_one_part(Scale::SMALL, "writer").await.assert_good(RECOVERY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_tails_lead_to_the_new_primary() {
    only_one_part(Scale::SMALL, "tail").await.assert_good(RECOVERY);
}

/// The primary is demoted and rewound, and later promoted again.
pub async fn there_and_back(scale: Scale) -> Outcome {
    let mut one = Cluster::primary("one").await;
    let mut other = one.standby("other").await;
    let name = "primary demoted, and promoted again";
    let play = Play::begin(name, scale, Promise::Durable, &url(&[&one, &other])).await;
    play.cause("the primary is shut down, its standby promoted");
    // A clean shutdown ends once the standby has every commit.
    one.stop().await;
    other.promote().await;
    play.note("the old primary is rewound and follows the new one");
    one.follow(&other).await;
    play.calm().await;
    play.cause("and back");
    one.caught_up_with(&other).await;
    other.stop().await;
    one.promote().await;
    play.reachable();
    play.ends();
    other.follow(&one).await;
    play.finish(&one).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_is_demoted_and_promoted_again() {
    there_and_back(Scale::SMALL).await.assert_good(RECOVERY);
}

/// Two standbys are promoted one after the other without knowing of each other. Both write
/// timeline 2.
pub async fn recurring_timeline(scale: Scale) -> Outcome {
    let mut primary = Cluster::primary("primary").await;
    let mut second = primary.standby("second").await;
    let third = primary.standby("third").await;
    let address = PgProxy::to(primary.address()).await;
    let name = "a timeline's number recurs";
    let play = Play::begin(name, scale, Promise::Asynchronous, &url_of(&[address.address()])).await;
    play.note("the primary dies, the second server takes over");
    primary.kill();
    second.promote().await;
    address.lead("", Route::To(second.address()));
    address.cut("");
    play.calm().await;
    play.cause("the second dies, and the third, which never knew it, takes over");
    second.kill();
    third.promote().await;
    address.lead("", Route::To(third.address()));
    address.cut("");
    play.reachable();
    play.recover(&third).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeline_s_number_recurs() {
    recurring_timeline(Scale::SMALL).await.assert_good(RECOVERY);
}

/// The standby that commits wait for is stopped and started again.
pub async fn standby_gone(scale: Scale) -> Outcome {
    let (primary, mut standby) = synchronous().await;
    let flags = ["--commit-timeout", "2s"];
    let name = "synchronous standby gone for 8 s";
    let play = Play::begin_with(name, scale, Promise::Durable, &primary.url(), &flags).await;
    play.cause("the standby is gone");
    standby.stop().await;
    let gone = play.now();
    tokio::time::sleep(Duration::from_secs(8)).await;
    let back = play.now();
    // Commits that the standby has received may be answered a moment later.
    let allowed = gone + LATE;
    let false_success = play.acknowledged_between(allowed, back);
    standby.start().await;
    primary.has_synchronous_standbys(1).await;
    let mut outcome = play.recover(&primary).await;
    outcome.must(
        false_success == 0,
        format!("{false_success} events were acknowledged without the standby"),
    );
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_synchronous_standby_is_gone() {
    standby_gone(Scale::SMALL).await.assert_good(RECOVERY);
}

/// The standby is cut off while commits wait for it, and then it is promoted.
pub async fn cut_off_standby(scale: Scale) -> Outcome {
    let primary = Cluster::primary("primary").await;
    let cable = PgProxy::to(primary.address()).await;
    let standby = primary.standby_by(STANDBY, cable.address()).await;
    primary.set("synchronous_standby_names", STANDBY).await;
    primary.has_synchronous_standbys(1).await;
    let flags = ["--commit-timeout", "2s"];
    let url = url(&[&primary, &standby]);
    let name = "synchronous standby cut off, then promoted";
    let play = Play::begin_with(name, scale, Promise::Durable, &url, &flags).await;
    play.cause("the standby is cut off");
    cable.stall(STANDBY);
    cable.lead("", Route::Silent);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut primary = primary;
    play.note("kill -9 of the primary, the standby is promoted");
    primary.kill();
    cable.cut("");
    play.fail_over(&standby).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_was_cut_off_takes_over() {
    cut_off_standby(Scale::SMALL).await.assert_good(RECOVERY);
}

/// An operator cancels a commit that waits for a standby. PostgreSQL reports success, but the event
/// is on no standby, so the relay answers 503 and the client sends it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_standby_that_is_cancelled_is_no_success() {
    let primary = Cluster::primary("primary").await;
    let relay = Relay::serve(&["--database-url", &primary.url(), "--commit-timeout", "3s"]).await;
    let admin = primary.session(DATABASE).await;
    primary.set("synchronous_standby_names", "gone").await;
    let one = event(1);
    let cancelled = async {
        let waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
             WHERE wait_event = 'SyncRep' AND query LIKE '%progress_event%'";
        for _ in 0..2 {
            until("a commit that waits", async || {
                let rows = admin.query(waiting, &[]).await.ok()?;
                (!rows.is_empty()).then_some(())
            })
            .await;
        }
    };
    let (first, ()) = tokio::join!(relay.try_post(&one), cancelled);
    assert_eq!(first.status, 503, "the event is on the primary alone");
    let rows = "SELECT FROM progress_event";
    assert_eq!(admin.query(rows, &[]).await.expect("rows").len(), 1, "as PostgreSQL does it");
    assert_eq!(relay.try_post(&one).await.status, 503, "it is found there, and waits");
    primary.set("synchronous_standby_names", "").await;
    let answer = relay.post(&one).await;
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&0.into(), &1.into()));
}
