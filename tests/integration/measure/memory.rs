//! `make memory`: the memory of a dashboard after it received 1 MiB in bursts and idled.

use std::time::Duration;

use futures::StreamExt;
use progress_relay::client::ws::Subscriber;
use serde_json::Value;

use super::mib;
use crate::support::{Relay, data_folder, event};

const DASHBOARDS: usize = 4_000;
const BURSTS: usize = 8;
const BURST: usize = 128 * 1024;
const IDLE: Duration = Duration::from_secs(30);
/// Bytes per dashboard.
const BOUND: usize = 8 * 1024;

async fn read_until(subscriber: &mut Subscriber, bytes: usize) {
    let mut taken = 0;
    while taken < bytes {
        taken += subscriber.next_text().await.expect("a frame").len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: make memory"]
async fn memory() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("a higher limit");

    let folder = data_folder();
    // The log in memory is small and filled before, because it is no part of a dashboard.
    let relay =
        Relay::serve(&["--data-dir", folder.to_str().expect("UTF-8"), "--log-memory", "1MiB"])
            .await;
    let burst = async |relay: &Relay| {
        let events: Vec<Value> = (0..16)
            .map(|n| {
                let mut event = event(n);
                event["result"] = "x".repeat(BURST / 16).into();
                event
            })
            .collect();
        relay.post(&events.into()).await;
    };
    for _ in 0..2 * BURSTS {
        burst(&relay).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = relay.resident();
    let mut dashboards: Vec<Subscriber> = futures::stream::iter(0..DASHBOARDS)
        .map(|_| relay.subscribe(&["default"], None))
        .buffer_unordered(64)
        .collect()
        .await;
    let connected = relay.resident();
    for _ in 0..BURSTS {
        burst(&relay).await;
        futures::stream::iter(&mut dashboards)
            .for_each_concurrent(None, |dashboard| read_until(dashboard, BURST))
            .await;
    }
    let loaded = relay.resident();
    // A dashboard reads all the time, pings included.
    let idle =
        futures::stream::iter(&mut dashboards).for_each_concurrent(None, |dashboard| async move {
            let _ =
                tokio::time::timeout(IDLE, async { while dashboard.next_text().await.is_ok() {} })
                    .await;
        });
    idle.await;
    let idled = relay.resident();
    let each = |resident: usize| resident.saturating_sub(before) / DASHBOARDS;
    println!(
        "{DASHBOARDS} dashboards, each received {BURSTS} bursts of {} KiB and then idled for \
             {IDLE:?}",
        BURST / 1024
    );
    println!("{:<14}{:>10}{:>16}", "", "resident", "a dashboard");
    for (what, resident) in [
        ("before", before),
        ("connected", connected),
        ("after bursts", loaded),
        ("after idling", idled),
    ] {
        println!("{what:<14}{:>6.1} MiB{:>10} bytes", mib(resident), each(resident));
    }
    assert!(each(idled) <= BOUND, "{} bytes a dashboard", each(idled));
}
