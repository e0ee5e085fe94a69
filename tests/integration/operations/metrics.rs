//! `/metrics`: valid for Prometheus, described in docs/metrics.md, and each metric moves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use progress_relay::client::ws::Frame;
use serde_json::json;

use crate::support::{Database, Relay, event, until};

/// The text, and every sample by its name with its labels.
struct Metrics {
    text: String,
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    async fn read(relay: &Relay) -> Self {
        let response = relay.connection().await.get("/metrics").await.expect("an answer");
        assert_eq!(
            response.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        let text = String::from_utf8(response.body.to_vec()).expect("UTF-8");
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name.to_owned(), value.parse().expect("a number"))
        });
        Self { samples: samples.collect(), text }
    }

    fn get(&self, name: &str) -> f64 {
        *self.samples.get(name).unwrap_or_else(|| panic!("no {name} in {}", self.text))
    }

    /// The metrics as docs/metrics.md has them: type, name with its labels, meaning.
    fn described(&self) -> BTreeSet<[String; 3]> {
        let after = |prefix: &str| {
            let lines = self.text.lines().filter_map(|line| line.strip_prefix(prefix));
            let pairs = lines.filter_map(|line| line.split_once(' '));
            pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>()
        };
        let types: BTreeMap<_, _> = after("# TYPE ").into_iter().collect();
        let described = after("# HELP ").into_iter().map(|(name, help)| {
            let labels = self.labels(&name).join(",");
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            [types[&name].clone(), format!("`{name}{labels}`"), help]
        });
        described.collect()
    }

    /// The labels of a metric's first sample, but for a bucket's bound.
    fn labels(&self, name: &str) -> Vec<String> {
        let of = format!("{name}{{");
        let Some(sample) = self.samples.keys().find(|sample| sample.starts_with(&of)) else {
            return Vec::new();
        };
        let labels = sample[of.len()..].trim_end_matches('}').split("\",");
        labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect()
    }
}

/// The rows of docs/metrics.md, each with its section's type.
fn documented() -> BTreeSet<[String; 3]> {
    let (mut kind, mut rows) = ("", BTreeSet::new());
    for line in include_str!("../../../docs/metrics.md").lines() {
        match line {
            "## Counters" => kind = "counter",
            "## Histograms" => kind = "histogram",
            "## Gauges" => kind = "gauge",
            _ => {}
        }
        if let Some((name, meaning)) = line.trim_matches(['|', ' ']).split_once(" | ")
            && name.starts_with("`relay_")
        {
            assert!(rows.insert([kind, name, meaning].map(str::to_owned)), "{name} twice");
        }
    }
    rows
}

#[tokio::test]
async fn every_metric_is_described_and_prometheus_accepts_them() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let metrics = Metrics::read(&relay).await;
    assert_eq!(documented(), metrics.described(), "docs/metrics.md and /metrics");

    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: scripts/setup faults installs it");
    promtool.stdin.take().expect("a pipe").write_all(metrics.text.as_bytes()).expect("written");
    let output = promtool.wait_with_output().expect("an end");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && text.is_empty(), "{}", String::from_utf8_lossy(&text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_moves() {
    let database = Database::new().await;
    let flags = ["--commit-timeout", "1s", "--drain-delay", "60s"];
    let relay = Relay::start(&database, &flags).await;
    let before = Metrics::read(&relay).await;

    // A subscriber that is reset, an event, the same once more, and one that is rejected.
    let mut subscriber = relay.subscribe(&[], Some("malformed")).await;
    while !matches!(subscriber.next().await.expect("a frame"), Frame::Live { .. }) {}
    let first = event(1);
    for accepted in [1, 0] {
        assert_eq!(relay.post(&first).await["accepted"], accepted);
    }
    while !matches!(subscriber.next().await.expect("a frame"), Frame::Progress { .. }) {}
    assert_eq!(relay.try_post(&json!({"eventType": "help"})).await.status, 422);
    let summary = relay.connection().await.get("/api/class/summary").await.expect("an answer");
    assert_eq!(summary.status, 200);
    // Another writer holds the ordering lock: the event waits, and its POST is told so.
    let client = database.client().await;
    client.batch_execute("BEGIN; SELECT progress_event_lock()").await.expect("the lock");
    let late = event(2);
    let queued =
        || async { (Metrics::read(&relay).await.get("relay_queued_events") >= 1.0).then_some(()) };
    let (late, ()) = tokio::join!(relay.try_post(&late), until("the queue", queued));
    assert_eq!(late.status, 503);
    client.batch_execute("ROLLBACK").await.expect("an end");
    let keeps =
        || async { (Metrics::read(&relay).await.get("relay_state_keeper") == 1.0).then_some(()) };
    until("the snapshots' leader", keeps).await;

    let after = Metrics::read(&relay).await;
    for name in [
        "relay_accepted_events_total",
        "relay_duplicate_events_total",
        "relay_unavailable_answers_total{cause=\"not-committed-in-time\"}",
        "relay_resets_total{reason=\"malformed\"}",
        "relay_rejected_events_total{field=\"eventId\"}",
        "relay_post_duration_seconds_count",
        "relay_post_duration_seconds_sum",
        "relay_statement_rows_count",
        "relay_statement_rows_sum",
        "relay_statement_duration_seconds_count",
        "relay_statement_duration_seconds_sum",
        "relay_doorbell_to_read_seconds_count",
        "relay_doorbell_to_read_seconds_sum",
        "relay_commit_to_socket_seconds_count",
        "relay_commit_to_socket_seconds_sum",
        "relay_log_bytes",
        "relay_log_head",
        "relay_sessions",
        "relay_classes",
    ] {
        assert!(after.get(name) > before.get(name), "{name}: {}", after.text);
    }
    for name in
        ["relay_connections", "relay_tasks", "relay_writer_connected", "relay_listener_proven"]
    {
        assert!(after.get(name) >= 1.0, "{name}: {}", after.text);
    }
    assert!(
        after.get("relay_commit_to_socket_seconds_bucket{le=\"5.0\"}") >= 1.0,
        "{}",
        after.text
    );
    assert!(after.samples.keys().any(|name| name.starts_with("relay_server_info{part=\"tail\"")));

    assert!(!database.terminate("%").await.is_empty());
    for part in ["listener", "state", "tail", "writer"] {
        let count = format!("relay_reconnects_total{{part=\"{part}\"}}");
        let moved = || async { (Metrics::read(&relay).await.get(&count) > 0.0).then_some(()) };
        until(&count, moved).await;
    }
    relay.signal(Signal::SIGTERM);
    let drains =
        || async { (Metrics::read(&relay).await.get("relay_draining") == 1.0).then_some(()) };
    until("the drain", drains).await;

    // A log that holds next to nothing in memory.
    let relay = Relay::start(&database, &["--log-memory", "1KiB"]).await;
    let before = Metrics::read(&relay).await.get("relay_log_floor");
    let mut large = event(3);
    large["code"] = "x".repeat(4096).into();
    relay.post(&large).await;
    let moved =
        || async { (Metrics::read(&relay).await.get("relay_log_floor") > before).then_some(()) };
    until("the floor", moved).await;
}
