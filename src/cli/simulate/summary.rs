//! Computes the report from the counts of POSTs and dashboards.

use hdrhistogram::Histogram;

use super::args::Args;
use super::dashboard::Dashboard;
use super::load::Posts;
use super::report::{Latency, Report, latencies};
use super::run::Run;
use super::usage::Usage;

/// The sums over all dashboards.
struct Deliveries {
    min: u64,
    max: u64,
    total: u64,
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
    reconnects: u64,
    resets: u64,
    /// The events a second at the slowest dashboard, and at all together.
    slowest: f64,
    rate: f64,
    latency: Histogram<u64>,
    failure: Option<String>,
}

impl Deliveries {
    fn of(run: &Run, dashboards: &[Dashboard]) -> Self {
        let (expected, sum) = {
            let ledger = run.ledger();
            (ledger.expected(), ledger.sum())
        };
        let mut all = Self {
            min: u64::MAX,
            max: 0,
            total: 0,
            lost: 0,
            duplicated: 0,
            out_of_order: 0,
            reconnects: 0,
            resets: 0,
            slowest: f64::INFINITY,
            rate: 0.0,
            latency: latencies(),
            failure: None,
        };
        for dashboard in dashboards {
            let tally = dashboard.tally();
            all.min = all.min.min(tally.count);
            all.max = all.max.max(tally.count);
            all.total += tally.count;
            // The number of events is as expected, but their ids are not: at least one is missing.
            let is_swapped = tally.count == expected && sum.is_some_and(|sum| sum != tally.sum);
            all.lost += expected.saturating_sub(tally.count) + u64::from(is_swapped);
            all.duplicated += tally.duplicated;
            all.out_of_order += tally.out_of_order;
            all.reconnects += tally.reconnects;
            all.resets += tally.resets;
            let rate = tally
                .window
                .map_or(0.0, |(first, last)| per_second(tally.counted, seconds(first, last)));
            all.slowest = all.slowest.min(rate);
            all.rate += rate;
            if let Some(latency) = &tally.latency {
                // Histograms with the same bounds can be added.
                let _ = all.latency.add(latency);
            }
            all.failure = all.failure.or_else(|| tally.failure.clone());
        }
        all
    }
}

/// The time between two moments of the run.
fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

pub(super) fn summarise(
    args: &Args,
    run: &Run,
    posts: Posts,
    dashboards: &[Dashboard],
    usage: Usage,
) -> Report {
    let delivered = Deliveries::of(run, dashboards);
    let posting = seconds(run.counted_from(), posts.last_answer);
    let ledger = run.ledger();
    let watched = !dashboards.is_empty();
    Report {
        class: run.class.clone(),
        connections: args.connections() as usize,
        batch: args.batch as usize,
        dashboards: dashboards.len(),
        students: args.students,
        pace: args.pace,
        relays: run.urls.len(),
        rate: args.rate,
        seconds: args.duration.as_secs_f64(),
        sent: ledger.sent(),
        unsent: posts.unsent,
        acknowledged: ledger.acknowledged(),
        rejected: posts.rejected,
        retried: posts.retried,
        unconfirmed: if watched { ledger.unconfirmed() } else { 0 },
        delivered_min: if watched { delivered.min } else { 0 },
        delivered_max: delivered.max,
        lost: delivered.lost,
        duplicated: delivered.duplicated,
        stored_twice: ledger.stored_twice(),
        out_of_order: delivered.out_of_order,
        reconnects: delivered.reconnects,
        resets: delivered.resets,
        posts_per_second: per_second(posts.counted, posting),
        acknowledged_per_second: per_second(posts.counted_events, posting),
        subscriber_events_per_second: if watched { delivered.slowest } else { 0.0 },
        deliveries_per_second: delivered.rate,
        post_latency: Latency::of(&posts.latency),
        post_to_frame_latency: Latency::of(&delivered.latency),
        failures: posts.failures,
        first_failure: posts.first_failure,
        dashboard_failure: delivered.failure,
        usage: usage.per_delivery(delivered.total),
    }
}
