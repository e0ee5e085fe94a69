//! `simulate`: which relays it posts to, and how it paces its students.

use std::time::Duration;

use progress_relay::client::BaseUrl;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Database, Relay, run};

const REALISTIC: [&str; 8] =
    ["--pace", "realistic", "--students", "40", "--duration", "8s", "--dashboards", "1"];

/// The number of events in the relay's database.
async fn stored(database: &Database) -> i64 {
    let sql = "SELECT count(*) FROM progress_event";
    database.client().await.query_one(sql, &[]).await.expect("a count").get(0)
}

/// `RELAY_URL`, which `tail` reads, is no target of `simulate`, and `simulate` asks before it posts
/// to a target.
#[tokio::test]
async fn no_relay_is_posted_to_by_accident() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let url = relay.url.to_string();
    let brief = ["simulate", "--duration", "100ms", "--warmup", "0s", "--dashboards", "1"];
    // The tests have no terminal on standard input.
    for (flags, variables) in [
        (&["--url", &*url][..], &[][..]),
        (&[], &[("RELAY_SIMULATE_URL", &*url)]),
        (&["--url", &url], &[]),
    ] {
        let refused = run(&[&brief[..], flags].concat(), variables).await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("--yes") && refused.stderr.contains("--url"),
            "{}",
            refused.stderr
        );
    }
    // The variable of `tail` is ignored, so `simulate` would start its own relays. The flag refuses
    // a URL beside that.
    let both = run(&[&brief[..], &["--relay-pid", "1"]].concat(), &[("RELAY_URL", &url)]).await;
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    assert!(both.stderr.contains("--url"), "{}", both.stderr);
    assert_eq!(stored(&database).await, 0);
    for (flags, variables) in [
        (&["--url", &*url, "--yes"][..], &[][..]),
        (&[], &[("RELAY_SIMULATE_URL", &*url), ("RELAY_SIMULATE_YES", "1")]),
    ] {
        let before = stored(&database).await;
        let posted = run(&[&brief[..], flags].concat(), variables).await;
        assert_eq!(posted.code, Some(0), "{}", posted.stderr);
        assert!(stored(&database).await > before);
    }
}

/// A proxy that closes idle connections, as other proxies and the relay do, but sooner.
async fn idle_proxy(relay: &Relay, idle: Duration) -> (BaseUrl, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = BaseUrl::parse(&format!("http://{}", listener.local_addr().expect("an address")))
        .expect("a URL");
    let to = relay.url.authority();
    let accepting = tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(&to).await else { return };
                let (mut up, mut down) = ([0; 16 << 10], [0; 16 << 10]);
                let mut is_socket = false;
                loop {
                    let (from_near, read) = tokio::select! {
                        read = near.read(&mut up) => (true, read),
                        read = far.read(&mut down) => (false, read),
                        () = tokio::time::sleep(idle), if !is_socket => return,
                    };
                    let Ok(count @ 1..) = read else { return };
                    is_socket |= from_near && up.starts_with(b"GET /ws");
                    let wrote = if from_near {
                        far.write_all(&up[..count]).await
                    } else {
                        near.write_all(&down[..count]).await
                    };
                    if wrote.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, AbortOnDropHandle::new(accepting))
}

/// Students pause for longer than connections are kept, and none of their requests fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lesson_outlives_its_connections() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let (url, _proxy) = idle_proxy(&relay, Duration::from_millis(300)).await;
    let url = url.to_string();
    let flags = [&["simulate", "--yes", "--json", "--url", &url], &REALISTIC[..]].concat();
    let finished = run(&flags, &[]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let report: Value = serde_json::from_str(&finished.stdout).expect("a report");
    assert!(report["acknowledged"].as_u64().is_some_and(|count| count > 40), "{report}");
    assert_eq!(report["failures"], serde_json::json!({}), "{report}");
    assert_eq!((&report["lost"], &report["duplicated"]), (&0.into(), &0.into()), "{report}");
}
