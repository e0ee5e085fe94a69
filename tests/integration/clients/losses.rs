//! What fails costs no run: kernels are killed, the relay is away, the disk is full.

use std::collections::BTreeSet;
use std::fs;

use progress_relay::client::BaseUrl;
use serde_json::json;

use super::{each, reported, runs};
use crate::support::kernel::{Home, python};
use crate::support::stage::{Netns, mount_small, unmount};
use crate::support::{Database, Proxy, Relay};

/// An address at which nothing listens.
fn nowhere() -> BaseUrl {
    BaseUrl::parse("http://127.0.0.1:9").expect("a URL")
}

/// The bytes of the segments in a home's spool.
fn spooled(home: &Home) -> u64 {
    let Ok(folders) = fs::read_dir(home.spool()) else { return 0 };
    folders
        .filter_map(|folder| fs::read_dir(folder.ok()?.path()).ok())
        .flatten()
        .filter_map(|file| Some(file.ok()?.metadata().ok()?.len()))
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_kernel_sends_what_a_killed_one_has_left() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let road = Proxy::to(&nowhere()).await;
    let home = Home::new();

    // Two kernels at once, without a relay; both are killed, one of them with a child that lives.
    let mut one = home.kernel(&road.url(), &[]).await;
    let mut two = home.kernel(&road.url(), &[]).await;
    for number in 0..20 {
        one.run(&format!("'one {number}'")).await;
        two.run(&format!("'two {number}'")).await;
    }
    two.run("import os, time\nif os.fork() == 0:\n    time.sleep(600)\n    os._exit(0)").await;
    assert!(one.progress().await.contains("waiting     21"), "{}", one.progress().await);
    one.kill().await;
    two.kill().await;

    road.lead_to(&relay.url);
    let mut three = home.kernel(&road.url(), &[]).await;
    three.run("'three'").await;
    let rows = runs(&database, 42).await;
    assert_eq!(rows.len(), 42);
    let ids: BTreeSet<_> = each(&rows, "eventId").iter().map(ToString::to_string).collect();
    assert_eq!(ids.len(), 42, "each once");
    let sessions: BTreeSet<_> = each(&rows, "sessionId").iter().map(ToString::to_string).collect();
    assert_eq!(sessions.len(), 3);
    three.shut_down().await;
    assert_eq!(spooled(&home), 0, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_was_away_for_long_gets_everything_once() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let road = Proxy::to(&relay.url).await;
    let home = Home::new();
    let mut kernel = home.kernel(&road.url(), &[]).await;
    kernel.run("'run 0'").await;
    runs(&database, 1).await;
    // The client knows it as well.
    reported(&mut kernel, "waiting     0").await;

    relay.kill().await;
    for number in 1..=60 {
        kernel.run(&format!("'run {number}'")).await;
        if number % 20 == 0 {
            // The network comes and goes; what answers there is no relay.
            road.lead_to(&nowhere());
        }
    }
    let report = reported(&mut kernel, "last error  no answer from").await;
    assert!(report.contains("waiting     60"), "{report}");

    let relay = Relay::start(&database, &[]).await;
    road.lead_to(&relay.url);
    let rows = runs(&database, 61).await;
    let expected: Vec<_> = (0..=60).map(|number| json!(format!("'run {number}'"))).collect();
    assert_eq!(each(&rows, "code"), expected.iter().collect::<Vec<_>>(), "in order, each once");
    kernel.shut_down().await;
}

/// A laptop that sleeps: packets are lost, and no end learns of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_laptop_that_was_asleep_sends_the_rest() {
    let Some(laptop) = Netns::new() else { return };
    let database = Database::new().await;
    let bind = format!("{}:0", laptop.outside);
    let relay = Relay::start(&database, &["--bind", &bind, "--insecure"]).await;
    let home = Home::new();
    let mut by = laptop.prefix().to_vec();
    by.push(python().display().to_string());
    let mut kernel = home.kernel_by(&by, &relay.url.to_string(), &[]).await;
    kernel.run("'awake'").await;
    runs(&database, 1).await;
    reported(&mut kernel, "waiting     0").await;

    laptop.cut();
    for number in 0..20 {
        kernel.run(&format!("{number}")).await;
    }
    // The connection that was open gives up by itself.
    let report = reported(&mut kernel, "last error  no answer from").await;
    assert!(report.contains("waiting     20"), "{report}");
    laptop.mend();
    let rows = runs(&database, 21).await;
    assert_eq!(rows.len(), 21);
    let codes: BTreeSet<_> = each(&rows, "code").iter().map(ToString::to_string).collect();
    assert_eq!(codes.len(), 21, "each once");
    kernel.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_quick_runs_are_each_a_row() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let road = Proxy::to(&relay.url).await;
    let home = Home::new();
    let mut kernel = home.kernel(&road.url(), &[]).await;
    // Without a front end between, so that nothing slows them down.
    let quick =
        "shell = get_ipython()\nfor n in range(1000):\n    shell.run_cell('n', store_history=True)";
    let resident = "int(open('/proc/self/statm').read().split()[1]) * 4096 // 1024 // 1024";
    kernel.run("import sys; out, sys.displayhook = sys.displayhook, lambda value: None").await;
    let mut largest = 0;
    for round in 0..10 {
        // Half of them while the relay is away.
        road.lead_to(&if round % 2 == 0 { relay.url.clone() } else { nowhere() });
        kernel.run(quick).await;
        largest = largest.max(spooled(&home));
    }
    road.lead_to(&relay.url);
    let outputs = kernel.run(&format!("print({resident})")).await;
    let resident: u64 = outputs
        .iter()
        .filter_map(|output| output["text"].as_str())
        .find_map(|text| text.trim().parse().ok())
        .expect("a size");
    // The runs, the ten cells in which they ran, the first and the last.
    let rows = runs(&database, 10_012).await;
    assert_eq!(rows.len(), 10_012);
    let ids: BTreeSet<_> = each(&rows, "eventId").iter().map(ToString::to_string).collect();
    assert_eq!(ids.len(), 10_012, "each once");
    assert!(largest < 8 << 20, "the spool had {largest} bytes");
    assert!(resident < 250, "the kernel has {resident} MiB");
    kernel.shut_down().await;
    assert_eq!(spooled(&home), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_no_run_while_the_kernel_lives() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let road = Proxy::to(&nowhere()).await;
    let home = Home::new();
    fs::create_dir(home.spool()).expect("a folder");
    if !mount_small(&home.spool(), 1) {
        return;
    }
    let mut kernel = home.kernel(&road.url(), &[]).await;
    kernel.run("'on the disk'").await;
    // Everything that is left.
    let _ = fs::write(home.spool().join("filler"), vec![0; 2 << 20]);
    let code = format!("'in memory'  # {}", "x".repeat(4000));
    for _ in 0..10 {
        assert_eq!(kernel.run(&code).await.len(), 1, "the cell shows its value alone");
    }
    let report = kernel.progress().await;
    assert!(report.contains("No space left on device"), "{report}");
    assert!(report.contains("would be lost with this kernel"), "{report}");
    road.lead_to(&relay.url);
    let rows = runs(&database, 11).await;
    assert_eq!(rows.len(), 11);
    kernel.shut_down().await;
    unmount(&home.spool());
}
