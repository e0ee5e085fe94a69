//! Computes the report from the counts of POSTs and dashboards.

use super::args::Args;
use super::dashboard::{Dashboard, Tally};
use super::load::Posts;
use super::report::{Latency, Report, latencies};
use super::run::Run;
use super::usage::Usage;

/// The tallies of all dashboards together.
#[derive(Default)]
struct Deliveries {
    /// Events at the dashboard that received the fewest, and at the one that received the most.
    least: Option<u64>,
    most: u64,
    count: u64,
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
    reconnects: u64,
    resets: u64,
    /// Events a second at the slowest dashboard, and at all together.
    slowest: Option<f64>,
    rate: f64,
    failure: Option<String>,
}

fn seconds_between(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

impl Deliveries {
    /// Adds one dashboard's tally. `expected` events have ids of this `sum`.
    fn add(&mut self, tally: &Tally, expected: u64, sum: Option<u64>) {
        self.least = Some(self.least.map_or(tally.count, |least| least.min(tally.count)));
        self.most = self.most.max(tally.count);
        self.count += tally.count;
        // The number of events is as expected, but their ids are not: at least one is missing.
        let swapped = tally.count == expected && sum.is_some_and(|sum| sum != tally.sum);
        self.lost += expected.saturating_sub(tally.count) + u64::from(swapped);
        self.duplicated += tally.duplicated;
        self.out_of_order += tally.out_of_order;
        self.reconnects += tally.reconnects;
        self.resets += tally.resets;
        let window = tally.window.map_or(0.0, |(first, last)| seconds_between(first, last));
        let rate = per_second(tally.counted, window);
        self.slowest = Some(self.slowest.map_or(rate, |slowest| slowest.min(rate)));
        self.rate += rate;
        if self.failure.is_none() {
            self.failure.clone_from(&tally.failure);
        }
    }
}

pub(super) fn summarise(
    args: &Args,
    run: &Run,
    posts: Posts,
    dashboards: &[Dashboard],
    usage: Usage,
) -> Report {
    let (expected, sum) = {
        let ledger = run.ledger();
        (ledger.expected(), ledger.sum())
    };
    let posting = seconds_between(run.counted_from(), posts.last_answer);
    let mut frames = latencies();
    let mut deliveries = Deliveries::default();
    for dashboard in dashboards {
        let tally = dashboard.tally();
        deliveries.add(&tally, expected, sum);
        if let Some(latency) = &tally.latency {
            // Histograms with the same bounds can be added.
            let _ = frames.add(latency);
        }
    }
    let ledger = run.ledger();
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
        unconfirmed: if dashboards.is_empty() { 0 } else { ledger.unconfirmed() },
        delivered_min: deliveries.least.unwrap_or(0),
        delivered_max: deliveries.most,
        lost: deliveries.lost,
        duplicated: deliveries.duplicated,
        stored_twice: ledger.stored_twice(),
        out_of_order: deliveries.out_of_order,
        reconnects: deliveries.reconnects,
        resets: deliveries.resets,
        posts_per_second: per_second(posts.counted, posting),
        acknowledged_per_second: per_second(posts.counted_events, posting),
        subscriber_events_per_second: deliveries.slowest.unwrap_or(0.0),
        deliveries_per_second: deliveries.rate,
        post_latency: Latency::of(&posts.latency),
        post_to_frame_latency: Latency::of(&frames),
        failures: posts.failures,
        first_failure: posts.first_failure,
        dashboard_failure: deliveries.failure,
        usage: usage.per_delivery(deliveries.count),
    }
}
