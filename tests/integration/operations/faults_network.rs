//! Connections, processes and hosts vanish without closing anything. Under load, with dashboards,
//! and judged by the checker.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::faults_database::RECOVERY;
use crate::support::checker::Promise;
use crate::support::stage::{Cluster, Netns, Outcome, PgProxy, Play, Scale, url, url_of};
use crate::support::{Follower, Relay, event, readiness, until};

/// A new leader is elected at most this long after the old one has frozen or vanished.
const ANOTHER_LEADS: Duration = Duration::from_secs(20);

/// The tails' connections pass no more bytes and do not end.
pub async fn half_open_tail(scale: Scale) -> Outcome {
    let primary = Cluster::primary("primary").await;
    let address = PgProxy::to(primary.address()).await;
    let name = "the tails' connections half open";
    let play = Play::begin(name, scale, Promise::Durable, &url_of(&[address.address()])).await;
    play.cause("the tails' connections stall, for ever");
    assert!(address.stall("tail") > 0, "a tail's connection");
    play.recover(&primary).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tail_s_connection_is_half_open() {
    half_open_tail(Scale::SMALL).await.assert_good(RECOVERY);
}

/// Every open connection stalls and new ones do not, as when a firewall forgets its connections.
pub async fn all_half_open(scale: Scale) -> Outcome {
    let primary = Cluster::primary("primary").await;
    let address = PgProxy::to(primary.address()).await;
    let name = "all connections half open";
    let play = Play::begin(name, scale, Promise::Durable, &url_of(&[address.address()])).await;
    play.cause("all connections stall, for ever; new ones are well");
    address.stall("");
    play.recover(&primary).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_is_half_open() {
    all_half_open(Scale::SMALL).await.assert_good(RECOVERY);
}

fn leads(relay: &Relay) -> bool {
    relay.terms_as_leader() > 0
}

/// Waits until a relay of the play is elected, and returns how long that took.
async fn another_leads(play: &Play) -> Duration {
    let begin = Instant::now();
    until("another leader", async || {
        let found = play.relays.iter().any(leads);
        (found || begin.elapsed() > ANOTHER_LEADS + Duration::from_secs(5)).then_some(())
    })
    .await;
    begin.elapsed()
}

/// The leader, which serves no client here, is frozen, and thawed once another relay leads.
pub async fn frozen_leader(scale: Scale) -> (Outcome, Duration) {
    let primary = Cluster::primary("primary").await;
    let leader = Relay::serve(&["--database-url", &primary.url()]).await;
    until("a leader", async || leads(&leader).then_some(())).await;
    let play = Play::begin("leader frozen", scale, Promise::Durable, &primary.url()).await;
    play.cause("SIGSTOP for the leader");
    leader.signal(Signal::SIGSTOP);
    let took = another_leads(&play).await;
    play.note(&format!("another leads after {took:?}; SIGCONT"));
    leader.signal(Signal::SIGCONT);
    (play.recover(&primary).await, took)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_is_frozen() {
    let (outcome, took) = frozen_leader(Scale::SMALL).await;
    println!("another leads after {took:?}");
    assert!(took <= ANOTHER_LEADS, "another leads only after {took:?}");
    outcome.assert_good(RECOVERY);
}

/// The leader's machine vanishes.
pub async fn vanished_leader(scale: Scale) -> Option<(Outcome, Duration)> {
    let host = Netns::new()?;
    let mut primary = Cluster::primary("primary").await;
    primary.stop().await;
    primary.listen_on(&host.outside);
    primary.start().await;
    let way = format!("{}:{}", host.outside, primary.port()).parse().expect("an address");
    let leader = Relay::begin_by(&host.prefix(), &["--database-url", &url_of(&[way])]).await;
    until("a leader", async || leads(&leader).then_some(())).await;
    let play =
        Play::begin("leader's machine vanished", scale, Promise::Durable, &primary.url()).await;
    play.cause("the leader's cable is cut");
    host.cut();
    let took = another_leads(&play).await;
    play.note(&format!("another leads after {took:?}"));
    Some((play.recover(&primary).await, took))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_s_machine_vanishes() {
    let Some((outcome, took)) = vanished_leader(Scale::SMALL).await else { return };
    println!("another leads after {took:?}");
    assert!(took <= ANOTHER_LEADS, "another leads only after {took:?}");
    outcome.assert_good(RECOVERY);
}

/// The primary's machine vanishes, and its synchronous standby takes over.
pub async fn vanished_primary(scale: Scale) -> Option<Outcome> {
    let primary = Cluster::primary_on("primary", Netns::new()?).await;
    let standby = primary.standby("standby").await;
    primary.set("synchronous_standby_names", "standby").await;
    primary.has_synchronous_standbys(1).await;
    let name = "primary's machine vanished, failover";
    let play = Play::begin(name, scale, Promise::Durable, &url(&[&primary, &standby])).await;
    play.cause("the primary's cable is cut");
    primary.netns().expect("a host").cut();
    Some(play.fail_over(&standby).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_s_machine_vanishes() {
    if let Some(outcome) = vanished_primary(Scale::SMALL).await {
        outcome.assert_good(RECOVERY);
    }
}

/// `/readyz` names a cause that all replicas share at once, and answers 503 only after 30 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_names_a_shared_cause_at_once_and_is_false_after_30_s() {
    let mut primary = Cluster::primary("primary").await;
    let relay = Relay::serve(&["--database-url", &primary.url()]).await;
    let ask = async || {
        let (status, checks) = readiness(&relay).await;
        (status, checks["database"].as_str().unwrap_or_default().to_owned())
    };
    primary.stop().await;
    let begin = Instant::now();
    until("the cause", async || (ask().await.1 != "ok").then_some(())).await;
    let (status, cause) = ask().await;
    println!("after {:?}: {status}, {cause}", begin.elapsed());
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "the cause is named after {:?}",
        begin.elapsed()
    );
    let mut turned = None;
    while begin.elapsed() < Duration::from_secs(40) && turned.is_none() {
        if ask().await.0 == 503 {
            turned = Some(begin.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let turned = turned.expect("unready in the end");
    println!("unready after {turned:?}");
    assert!(turned > Duration::from_secs(28), "unready after {turned:?}");
    primary.start().await;
    let begin = Instant::now();
    relay.ready().await;
    assert!(begin.elapsed() < RECOVERY, "ready again after {:?}", begin.elapsed());
}

/// The relay waits for a LISTEN that takes long, and starts no second one meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listen_that_takes_long_is_waited_for() {
    const TAKES: Duration = Duration::from_secs(9);
    let primary = Cluster::primary("primary").await;
    let address = PgProxy::to(primary.address()).await;
    address.slow_listen(TAKES);
    let begin = Instant::now();
    let relay = Relay::begin(&["--database-url", &url_of(&[address.address()])]).await;
    // Delivery works without the doorbell.
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    relay.post(&event(1)).await;
    follower.take(1).await;
    let sql = primary.session("postgres").await;
    let under_way =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'LISTEN%'";
    let mut most = 0;
    let took = loop {
        most = most.max(sql.query_one(under_way, &[]).await.expect("a count").get::<_, i64>(0));
        let (_, checks) = readiness(&relay).await;
        if checks["listener"] == "ok" {
            break begin.elapsed();
        }
        assert!(
            begin.elapsed() < 3 * TAKES,
            "never heard; at most {most} LISTENs at once: {checks}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    println!("heard after {took:?}, at most {most} LISTENs at once");
    assert_eq!(most, 1, "LISTENs at once");
    assert!(took > TAKES && took < TAKES + RECOVERY, "heard after {took:?}");
}
