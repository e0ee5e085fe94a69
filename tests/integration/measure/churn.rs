//! `make churn`: ten minutes of connects, disconnects and peers that vanish leave nothing behind.

use std::time::{Duration, Instant};

use super::{descriptors, gauge, mib, peers};
use crate::support::{Relay, data_folder, event, until};

const PEERS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: make churn"]
async fn churn() {
    let minutes: u64 =
        std::env::var("CHURN_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let folder = data_folder();
    let relay = Relay::serve(&["--data-dir", folder.to_str().expect("UTF-8")]).await;
    let address = relay.url.authority();
    let look = async |what: &str| {
        let tasks = gauge(&relay.url, "relay_tasks").await;
        let found = (tasks, descriptors(relay.pid()), relay.resident());
        println!(
            "{what:<18} {:>6} tasks {:>6} descriptors {:>8.1} MiB resident",
            found.0,
            found.1,
            mib(found.2)
        );
        found
    };
    let minute = async || {
        let end = Instant::now() + Duration::from_secs(60);
        // Each peer lives for some seconds and then vanishes without closing anything.
        let lives = (0..PEERS).map(|way| {
            let address = address.clone();
            async move {
                while Instant::now() < end {
                    let life = Duration::from_millis(fastrand::u64(50..5_000));
                    let _ =
                        tokio::time::timeout(life, peers::misbehave(address.clone(), way)).await;
                }
            }
        });
        let class = async {
            let mut n = 0;
            while Instant::now() < end {
                relay.post(&event(n)).await;
                n += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        futures::future::join(futures::future::join_all(lives), class).await;
        // The relay ends the remaining connections itself; the longest wait is that for a header.
        until("the last peers' ends", || async {
            (gauge(&relay.url, "relay_connections").await <= 1).then_some(())
        })
        .await;
    };
    look("at the start").await;
    minute().await;
    let first = look("after a minute").await;
    for passed in 2..=minutes {
        minute().await;
        look(&format!("after {passed} minutes")).await;
    }
    let last = look("at the end").await;
    assert!(last.0 <= first.0 + 5, "tasks: {} after a minute, {} at the end", first.0, last.0);
    assert!(
        last.1 <= first.1 + 5,
        "descriptors: {} after a minute, {} at the end",
        first.1,
        last.1
    );
    assert!(
        last.2 <= first.2 + (32 << 20),
        "resident: {} after a minute, {} at the end",
        first.2,
        last.2
    );
}
