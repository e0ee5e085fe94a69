//! `progress-relay simulate`: students and dashboards against a relay, over the wire. Throughput is counted where it
//! matters, at the dashboards, and each of them checks that it got everything, once, in order.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use futures::{StreamExt, TryStreamExt, stream};

use crate::cli::base_url;
use crate::cli::units::parse_duration;
use crate::error::Failure;
use crate::http::client::ClientError;

mod dashboard;
mod load;
mod report;
mod run;
mod scan;

use dashboard::Dashboard;
use load::{Pace, Plan, Poster, Posts};
use report::{Latency, Report, latencies};
use run::Run;

/// How many dashboards look into events, for latency and for what is missing. The others count and compare sums.
const DECODING: usize = 10;
/// How many connections are opened at a time.
const OPENING: usize = 64;
/// How long the last deliveries may take.
const SETTLE: Duration = Duration::from_secs(30);
/// How long an event whose POST failed may take to turn up all the same.
const GRACE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// Measure a relay: a class of students and dashboards, rates, latencies, losses.
#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// Where the relay is; several replicas take posts and dashboards in turn
    #[arg(
        long = "url",
        env = "RELAY_URL",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8000"
    )]
    pub urls: Vec<String>,
    /// The class to write to [default: simulate-RANDOM]; not RELAY_CLASS, so that no real class is written to
    #[arg(long, env = "RELAY_SIMULATE_CLASS", value_name = "CLASS")]
    pub class: Option<String>,
    /// Connections that post, each one POST at a time
    #[arg(long, env = "RELAY_CONNECTIONS", value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub connections: u32,
    /// Events in a POST
    #[arg(long, env = "RELAY_BATCH", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Dashboards that follow the class
    #[arg(long, env = "RELAY_DASHBOARDS", value_name = "N", default_value_t = 10)]
    pub dashboards: u32,
    /// Events a second, all connections together; latency counts from when each was due. Without it, as fast as
    /// the relay answers
    #[arg(long, env = "RELAY_RATE", value_name = "EVENTS/S", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// How long to measure
    #[arg(long, env = "RELAY_DURATION", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub duration: Duration,
    /// How long to post before, uncounted
    #[arg(long, env = "RELAY_WARMUP", value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub warmup: Duration,
    /// Students that the events are of
    #[arg(long, env = "RELAY_STUDENTS", value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub students: u32,
    /// One JSON object instead of a table
    #[arg(long, env = "RELAY_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=1e7).contains(&rate) { Ok(rate) } else { Err("between 0.001 and 10000000".to_owned()) }
}

/// Runs the load and prints what it has shown.
///
/// # Errors
/// If the relay cannot be reached at first, or anything was lost, duplicated or out of order.
pub async fn run(args: Args) -> Result<(), Failure> {
    let urls = args.urls.iter().map(|url| base_url(url)).collect::<Result<Vec<_>, _>>()?;
    let class = args.class.clone().unwrap_or_else(|| format!("simulate-{:08x}", fastrand::u32(..)));
    let run = Arc::new(Run::new(urls, class));

    say(&format!("subscribing {} dashboards to {}", args.dashboards, run.class));
    let dashboards: Vec<Dashboard> = stream::iter(0..args.dashboards as usize)
        .map(|index| Dashboard::open(&run, index, index < DECODING))
        .buffered(OPENING)
        .try_collect()
        .await
        .map_err(unopened)?;
    let mut plan = Plan { batch: args.batch as usize, students: args.students, end: 0 };
    let mut posters: Vec<Poster> = stream::iter(0..args.connections as usize)
        .map(|index| Poster::open(&run, &plan, index))
        .buffered(OPENING)
        .try_collect()
        .await
        .map_err(unopened)?;

    say(&format!("posting for {:?} after a warm-up of {:?}", args.duration, args.warmup));
    let cpu = own_cpu_seconds();
    let begin = run.begin(args.warmup);
    plan.end = run.counted_from() + run::nanos(args.duration);
    posters.iter_mut().for_each(|poster| poster.end_at(plan.end));
    let pace = match args.rate {
        Some(rate) => Some(Pace::start(&run, rate / f64::from(args.batch), begin, plan.end, posters.len())?),
        None => None,
    };
    let tasks: Vec<_> = posters.into_iter().map(|poster| tokio::spawn(poster.post(pace.clone()))).collect();
    let mut posts = Posts::new();
    for task in tasks {
        posts.add(task.await?);
    }

    say("waiting for the last deliveries");
    if !posts.failures.is_empty() && !dashboards.is_empty() {
        tokio::time::sleep(GRACE).await;
    }
    settle(&run, &dashboards).await;
    let report = summarise(&args, &run, posts, &dashboards, own_cpu_seconds() - cpu);
    let text = if args.json { serde_json::to_string(&report)? + "\n" } else { report.table() };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))?;
    report.verdict().map_or(Ok(()), |wrong| Err(Failure::new(wrong)))
}

/// A line of progress on stderr; a closed one is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn unopened(error: ClientError) -> Failure {
    let hint = match &error {
        // EMFILE on Linux.
        ClientError::Connect { source, .. } if source.raw_os_error() == Some(24) => {
            "; raise the limit of open files (ulimit -n)"
        }
        ClientError::Connect { .. } => "; start the relay (progress-relay serve) or check --url",
        _ => "",
    };
    Failure::new(format!("cannot begin: {error}{hint}"))
}

/// Waits until every dashboard has got everything, or for as long as is reasonable.
async fn settle(run: &Run, dashboards: &[Dashboard]) {
    let settled = async {
        loop {
            let (missing, expected) = {
                let ledger = run.ledger();
                (ledger.missing(), ledger.expected())
            };
            if missing == 0 && dashboards.iter().all(|dashboard| dashboard.tally().count >= expected) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    if !dashboards.is_empty() {
        // Late is as bad as never: the report says which.
        let _ = tokio::time::timeout(SETTLE, settled).await;
    }
}

fn summarise(args: &Args, run: &Run, posts: Posts, dashboards: &[Dashboard], cpu: f64) -> Report {
    let (expected, sum) = {
        let ledger = run.ledger();
        (ledger.expected(), ledger.sum())
    };
    let span = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e9;
    let per_second = |count: u64, seconds: f64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    let posting = span(run.counted_from(), posts.last_answer);
    let mut frames = latencies();
    let (mut delivered_min, mut delivered_max) = (u64::MAX, 0);
    let (mut lost, mut duplicated, mut out_of_order, mut reconnects, mut resets) = (0, 0, 0, 0, 0);
    let (mut slowest, mut total) = (f64::INFINITY, 0.0);
    let mut dashboard_failure = None;
    for dashboard in dashboards {
        let tally = dashboard.tally();
        delivered_min = delivered_min.min(tally.count);
        delivered_max = delivered_max.max(tally.count);
        // As many events as expected, but not the same: one at least is missing.
        let swapped = tally.count == expected && sum.is_some_and(|sum| sum != tally.sum);
        lost += expected.saturating_sub(tally.count) + u64::from(swapped);
        duplicated += tally.duplicated;
        out_of_order += tally.out_of_order;
        reconnects += tally.reconnects;
        resets += tally.resets;
        let rate = tally.window.map_or(0.0, |(first, last)| per_second(tally.counted, span(first, last)));
        slowest = slowest.min(rate);
        total += rate;
        if let Some(latency) = &tally.latency {
            // Of the same bounds, so that it cannot fail.
            let _ = frames.add(latency);
        }
        dashboard_failure = dashboard_failure.or_else(|| tally.failure.clone());
    }
    let ledger = run.ledger();
    let watched = !dashboards.is_empty();
    Report {
        class: run.class.clone(),
        connections: args.connections as usize,
        batch: args.batch as usize,
        dashboards: dashboards.len(),
        rate: args.rate,
        seconds: args.duration.as_secs_f64(),
        sent: ledger.sent(),
        unsent: posts.unsent,
        acknowledged: ledger.acknowledged(),
        rejected: posts.rejected,
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
        own_cpu_seconds: cpu,
    }
}

/// User and system time of this process; 0 where there is no /proc.
fn own_cpu_seconds() -> f64 {
    // The kernel gives these in hundredths of a second whatever its own tick is.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before it may contain anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read() {
        let begin = std::time::Instant::now();
        while own_cpu_seconds() == 0.0 {
            assert!(begin.elapsed() < Duration::from_secs(10));
        }
    }
}
