//! Thousands of wrong tokens a second beside a class at work, and credentials that are far too
//! long: the relay's memory stays bounded, and the class goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{forged, send};
use crate::support::{Database, Issuer, event_of, until};

/// How long wrong tokens come.
const FLOOD: Duration = Duration::from_secs(4);
/// The connections by which they come.
const CONNECTIONS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_do_not_stop_a_class() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = Arc::new(issuer.relay(&database, &[]).await);
    issuer.post(&relay, &event_of("a", 0)).await;
    let before = relay.resident();
    let (is_over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let floods: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            let (relay, is_over, sent) = (relay.clone(), is_over.clone(), sent.clone());
            let token = forged(&format!("mallory {n}"));
            tokio::spawn(async move {
                let mut connection = relay.connection().await;
                let mut round = 0;
                while !is_over.load(Ordering::Relaxed) {
                    round += 1;
                    // Another signature each time.
                    let target = format!("/api/class/summary?class=a&token={token}{round:06}");
                    let answer = connection.get(&target).await.expect("an answer");
                    assert!([401, 429].contains(&answer.status.as_u16()), "{}", answer.status);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let begin = Instant::now();
    let mut latencies = Vec::new();
    while begin.elapsed() < FLOOD {
        let asked = Instant::now();
        issuer.post(&relay, &event_of("a", latencies.len())).await;
        latencies.push(asked.elapsed());
    }
    is_over.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.await.expect("every answer was a refusal");
    }
    let sent = sent.load(Ordering::Relaxed);
    latencies.sort_unstable();
    let grown = relay.resident().saturating_sub(before);
    println!(
        "{:.0} wrong tokens a second; POSTs: {} of them, median {:?}, p99 {:?}; memory +{} KiB",
        sent as f64 / FLOOD.as_secs_f64(),
        latencies.len(),
        latencies[latencies.len() / 2],
        latencies[latencies.len() * 99 / 100],
        grown >> 10,
    );
    assert!(sent > 1_000 && latencies.len() > 20, "{sent} {}", latencies.len());
    assert!(grown < 64 << 20, "{grown}");
    // The audit has a few of them, and tells how many there were.
    let client = database.client().await;
    let count = async || -> i64 {
        let sql = "SELECT count(*) FROM audit_entry WHERE action = 'credential-refused'";
        client.query_one(sql, &[]).await.expect("a count").get(0)
    };
    until("the audit", async || (count().await > 0).then_some(())).await;
    assert!(count().await <= 100);
    let bearer = format!("Bearer {}", issuer.token("root", "operator", &[]));
    let metrics = send(&relay, ("GET", "/metrics"), &[("authorization", &*bearer)], "").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let line = "relay_audit_unrecorded_total{cause=\"refusals\"} ";
    let unrecorded = metrics.lines().find_map(|text| text.strip_prefix(line)).expect("a count");
    assert!(unrecorded.parse::<usize>().expect("a number") > 0);
}

#[tokio::test]
async fn a_credential_that_is_far_too_long_is_refused() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let target = "/api/class/summary?class=a";
    for length in [9 << 10, 60 << 10, 200 << 10] {
        let long = "x".repeat(length);
        for (name, value) in [
            ("authorization", format!("Bearer {long}")),
            ("authorization", format!("{long} x")),
            ("cookie", format!("progress-relay={long}")),
            ("cookie", "a=b; ".repeat(length / 5)),
            ("x-forwarded-for", "1.1.1.1,".repeat(length / 8)),
        ] {
            let mut connection = relay.connection().await;
            let headers = [(name, &*value)];
            let answer = connection.request("GET", target, &headers, Default::default()).await;
            // Beyond the bound of a request's headers there may be no answer.
            let status = answer.map_or(431, |answer| answer.status.as_u16());
            assert!([400, 401, 431].contains(&status), "{name}, {length}: {status}");
        }
        let mut connection = relay.connection().await;
        let answer = connection.get(&format!("{target}&token={long}")).await;
        let status = answer.map_or(414, |answer| answer.status.as_u16());
        assert!([400, 401, 414, 431].contains(&status), "{length}: {status}");
    }
    assert_eq!(relay.connection().await.get("/healthz").await.expect("an answer").status, 200);
}
