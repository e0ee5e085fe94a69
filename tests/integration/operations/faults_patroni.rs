//! The primary of a Patroni cluster changes: by a switchover, or because its machine dies, hangs or
//! is cut off. The relay's URL names both servers, or HAProxy before them. Under load, with
//! dashboards, and judged by the checker.

use std::time::Duration;

use super::faults_database::RECOVERY;
use crate::support::checker::Promise;
use crate::support::stage::{Netns, Outcome, Patroni, Play, Replication, Scale, url_of};

/// What happens to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An operator makes the standby the primary.
    Switchover,
    /// PostgreSQL is killed, and its Patroni starts it again.
    Crashed,
    /// Patroni and PostgreSQL are killed.
    Killed,
    /// Patroni and PostgreSQL hang, and go on once the standby has taken over.
    Frozen,
    /// The primary's cable is cut, and mended once the standby has taken over.
    CutOff,
}

/// What the relay's URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Both servers.
    Hosts,
    /// HAProxy, which leads to the server that Patroni says is the primary.
    HaProxy,
}

/// A play, or `None` if this machine cannot run it.
pub async fn play(
    scale: Scale,
    fault: Fault,
    way: Way,
    replication: Replication,
) -> Option<Outcome> {
    let host = if fault == Fault::CutOff { Some(Netns::new()?) } else { None };
    let mut cluster = Patroni::start(replication, host).await;
    let balancer = match way {
        Way::Hosts => None,
        Way::HaProxy => Some(cluster.balancer().await),
    };
    let url = match &balancer {
        Some(balancer) => url_of(&[balancer.address]),
        None => cluster.url(),
    };
    // A switchover waits until the standby has everything, and a crash loses nothing on the disk.
    let keeps = matches!(fault, Fault::Switchover | Fault::Crashed);
    let loses = replication == Replication::Asynchronous && !keeps;
    let promise = if loses { Promise::Asynchronous } else { Promise::Durable };
    let name = format!("Patroni: {fault:?}, {way:?}, {replication:?}");
    let play = Play::begin(&name, scale, promise, &url).await;
    begin(fault, &mut cluster, &play, replication).await;
    play.reachable();
    play.ends();
    heal(fault, &cluster, &play, replication).await;
    let primary = usize::from(fault != Fault::Crashed);
    Some(play.finish(&cluster.members[primary]).await)
}

/// Lets the fault happen, and returns once a primary takes writes again.
async fn begin(fault: Fault, cluster: &mut Patroni, play: &Play, replication: Replication) {
    let [old, new] = &cluster.members;
    match fault {
        Fault::Switchover => {
            play.cause("an operator switches over");
            cluster.switch_over().await;
        }
        Fault::Crashed => {
            play.cause("kill -9 of PostgreSQL");
            old.crash().await;
            old.leads().await;
        }
        Fault::Killed => killed(cluster, play, replication).await,
        Fault::Frozen => {
            play.cause("SIGSTOP for the primary and its Patroni");
            old.freeze();
            new.leads().await;
        }
        Fault::CutOff => {
            play.cause("the primary's cable is cut");
            old.netns().expect("a host").cut();
            new.leads().await;
        }
    }
}

/// Lets an old primary that lives come back, once the relays use the new one. Patroni makes it a
/// standby.
async fn heal(fault: Fault, cluster: &Patroni, play: &Play, replication: Replication) {
    let [old, _] = &cluster.members;
    match fault {
        Fault::Switchover | Fault::Crashed | Fault::Killed => return,
        Fault::Frozen => {
            play.calm().await;
            play.note("SIGCONT for the old primary and its Patroni");
            old.thaw();
        }
        Fault::CutOff => {
            play.calm().await;
            play.note("the old primary's cable is mended");
            old.netns().expect("a host").mend();
        }
    }
    old.follows(replication).await;
    play.note("the old primary is a standby");
}

/// Kills the primary, whose standby lacks the last second if commits do not wait for it.
async fn killed(cluster: &mut Patroni, play: &Play, replication: Replication) {
    let stalled = if replication == Replication::Asynchronous {
        play.note("replication stalls");
        let receiver = cluster.members[1].stall().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some(receiver)
    } else {
        None
    };
    play.cause("kill -9 of the primary and its Patroni");
    cluster.members[0].kill();
    if let Some(receiver) = stalled {
        cluster.members[1].forget_stalled(receiver);
    }
    cluster.members[1].leads().await;
    if replication == Replication::Strict {
        play.note("commits wait for the old primary, which is started again");
        cluster.members[0].run();
        cluster.members[0].follows(replication).await;
    }
}

async fn assert_good(fault: Fault, way: Way, replication: Replication) -> Option<Outcome> {
    let outcome = play(Scale::SMALL, fault, way, replication).await?;
    eprintln!("{}", outcome.log);
    for r in &outcome.history {
        if !matches!(r.action, crate::support::checker::Action::Answered { status: 200..=299, .. })
        {
            let t = format!("{r:?}");
            if t.contains("Note") || t.contains("Cause") || t.contains("Reach") || t.contains("503")
            {
                eprintln!("{}", &t[..t.len().min(200)])
            }
        }
    }
    outcome.assert_good(RECOVERY);
    Some(outcome)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patroni_switches_over() {
    assert_good(Fault::Switchover, Way::HaProxy, Replication::Synchronous).await;
}

/// The loss is announced. There must be a loss, or the test has tested nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patroni_replaces_a_killed_primary_without_its_last_second() {
    let outcome = assert_good(Fault::Killed, Way::Hosts, Replication::Asynchronous).await;
    let outcome = outcome.expect("no other host is needed");
    assert!(outcome.report.orphaned_announced > 0, "{}", outcome.row());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patroni_replaces_a_primary_that_hangs() {
    assert_good(Fault::Frozen, Way::Hosts, Replication::Synchronous).await;
}
