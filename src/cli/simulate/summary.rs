//! Computes the report from the counts of POSTs and dashboards.

use super::args::Args;
use super::dashboard::Dashboard;
use super::load::Posts;
use super::report::{Latency, Report, latencies};
use super::run::Run;
use super::usage::Usage;

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
    let span = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e9;
    let per_second =
        |count: u64, seconds: f64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    let posting = span(run.counted_from(), posts.last_answer);
    let mut frames = latencies();
    let (mut delivered_min, mut delivered_max) = (u64::MAX, 0);
    let (mut lost, mut duplicated, mut out_of_order, mut reconnects, mut resets) = (0, 0, 0, 0, 0);
    let mut delivered = 0;
    let (mut slowest, mut total) = (f64::INFINITY, 0.0);
    let mut dashboard_failure = None;
    for dashboard in dashboards {
        let tally = dashboard.tally();
        delivered_min = delivered_min.min(tally.count);
        delivered_max = delivered_max.max(tally.count);
        delivered += tally.count;
        // The number of events is as expected, but their ids are not: at least one is missing.
        let swapped = tally.count == expected && sum.is_some_and(|sum| sum != tally.sum);
        lost += expected.saturating_sub(tally.count) + u64::from(swapped);
        duplicated += tally.duplicated;
        out_of_order += tally.out_of_order;
        reconnects += tally.reconnects;
        resets += tally.resets;
        let rate =
            tally.window.map_or(0.0, |(first, last)| per_second(tally.counted, span(first, last)));
        slowest = slowest.min(rate);
        total += rate;
        if let Some(latency) = &tally.latency {
            // Histograms with the same bounds can be added.
            let _ = frames.add(latency);
        }
        dashboard_failure = dashboard_failure.or_else(|| tally.failure.clone());
    }
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
        delivered_min: if watched { delivered_min } else { 0 },
        delivered_max,
        lost,
        duplicated,
        stored_twice: ledger.stored_twice(),
        out_of_order,
        reconnects,
        resets,
        posts_per_second: per_second(posts.counted, posting),
        acknowledged_per_second: per_second(posts.counted_events, posting),
        subscriber_events_per_second: if watched { slowest } else { 0.0 },
        deliveries_per_second: total,
        post_latency: Latency::of(&posts.latency),
        post_to_frame_latency: Latency::of(&frames),
        failures: posts.failures,
        first_failure: posts.first_failure,
        dashboard_failure,
        usage: usage.per_delivery(delivered),
    }
}
