//! The report of a run, as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::args::Behaviour;
use super::usage::Usage;

/// A histogram of microseconds up to two minutes, with three significant digits.
pub(super) fn latencies() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 120_000_000, 3) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("the bounds are in order: {error}"),
    }
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Latency {
    pub(super) count: u64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Latency {
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1000.0,
        }
    }
}

/// The report. Figures about deliveries are sums over all dashboards.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) class: String,
    pub(super) connections: usize,
    pub(super) batch: usize,
    pub(super) dashboards: usize,
    pub(super) students: u32,
    pub(super) pace: Behaviour,
    pub(super) relays: usize,
    /// The events a second of `--rate`; absent without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<f64>,
    pub(super) seconds: f64,
    pub(super) sent: u64,
    pub(super) unsent: u64,
    pub(super) acknowledged: u64,
    pub(super) rejected: u64,
    /// POSTs that were sent again, since a keep-alive connection had ended.
    pub(super) retried: u64,
    /// Events that were delivered although their POST was not answered with success.
    pub(super) unconfirmed: u64,
    pub(super) delivered_min: u64,
    pub(super) delivered_max: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) stored_twice: u64,
    pub(super) out_of_order: u64,
    pub(super) reconnects: u64,
    pub(super) resets: u64,
    /// POSTs that failed, by status or by the failure below HTTP.
    pub(super) failures: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dashboard_failure: Option<String>,
    pub(super) posts_per_second: f64,
    pub(super) acknowledged_per_second: f64,
    /// At the slowest dashboard.
    pub(super) subscriber_events_per_second: f64,
    /// At all dashboards together.
    pub(super) deliveries_per_second: f64,
    /// Milliseconds.
    pub(super) post_latency: Latency,
    /// Milliseconds, from when the POST was due.
    pub(super) post_to_frame_latency: Latency,
    #[serde(flatten)]
    pub(super) usage: Usage,
}

impl Report {
    /// Why the run failed, if it did.
    pub(super) fn verdict(&self) -> Option<String> {
        let wrong: Vec<String> = [
            (self.lost, "lost"),
            (self.duplicated, "duplicated"),
            (self.stored_twice, "stored twice"),
            (self.out_of_order, "out of order"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, fault)| format!("{count} {fault}"))
        .collect();
        if !wrong.is_empty() {
            return Some(format!("events went wrong: {}", wrong.join(", ")));
        }
        (self.acknowledged == 0).then(|| "no event was acknowledged".to_owned())
    }

    /// A table for people.
    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        let mut row = |name: &str, text: String| {
            // Writing into a String cannot fail.
            let _ = writeln!(out, "{name:<24}{text}");
        };
        let load = match (self.pace, self.rate) {
            (Behaviour::Realistic, _) => format!("a lesson of {} students", self.students),
            (Behaviour::Flat, Some(rate)) => format!("{rate} events/s offered"),
            (Behaviour::Flat, None) => "as fast as answered".to_owned(),
        };
        row("class", self.class.clone());
        row(
            "load",
            format!(
                "{load}, {} connections, {} a POST, {:.1} s",
                self.connections, self.batch, self.seconds
            ),
        );
        row("events sent", self.sent.to_string());
        row("events acknowledged", self.acknowledged.to_string());
        for (count, name) in [
            (self.unsent, "due, never sent"),
            (self.rejected, "rejected"),
            (self.retried, "POSTs sent twice"),
            (self.unconfirmed, "delivered unconfirmed"),
            (self.reconnects, "dashboards reconnected"),
            (self.resets, "dashboards reset"),
        ] {
            if count > 0 {
                row(name, count.to_string());
            }
        }
        for (kind, count) in &self.failures {
            row(&format!("POSTs failed: {kind}"), count.to_string());
        }
        for (failure, name) in
            [(&self.first_failure, "the first"), (&self.dashboard_failure, "a dashboard")]
        {
            if let Some(failure) = failure {
                row(name, failure.escape_debug().to_string());
            }
        }
        self.deliveries(&mut row);
        self.rates(&mut row);
        self.usage(&mut row);
        out
    }

    /// The rows about deliveries.
    fn deliveries(&self, row: &mut impl FnMut(&str, String)) {
        if self.dashboards > 0 {
            row(
                "delivered",
                format!(
                    "{} to {} at {} dashboards",
                    self.delivered_min, self.delivered_max, self.dashboards
                ),
            );
            row(
                "lost / dup. / disorder",
                format!(
                    "{} / {} / {}",
                    self.lost,
                    self.duplicated + self.stored_twice,
                    self.out_of_order
                ),
            );
        }
    }

    /// The rows about rates and latencies.
    fn rates(&self, row: &mut impl FnMut(&str, String)) {
        row("POSTs/s", format!("{:.0}", self.posts_per_second));
        row("events/s acknowledged", format!("{:.0}", self.acknowledged_per_second));
        if self.dashboards > 0 {
            row(
                "events/s at dashboards",
                format!("{:.0} (the slowest)", self.subscriber_events_per_second),
            );
            row("deliveries/s", format!("{:.0}", self.deliveries_per_second));
        }
        row("ms", "     p50      p90      p99    p99.9      max".to_owned());
        for (name, l) in
            [("POST", &self.post_latency), ("POST to frame", &self.post_to_frame_latency)]
        {
            if l.count > 0 {
                row(
                    name,
                    format!(
                        "{:8.2} {:8.2} {:8.2} {:8.2} {:8.2}",
                        l.p50, l.p90, l.p99, l.p999, l.max
                    ),
                );
            }
        }
    }

    /// The rows about CPU and memory.
    fn usage(&self, row: &mut impl FnMut(&str, String)) {
        let usage = &self.usage;
        let each =
            usage.relay_cpu_micros_per_delivery.map(|each| format!(", {each:.2} µs a delivery"));
        let lines = [
            ("relays' CPU", usage.relay_cpu_seconds, each.unwrap_or_default()),
            ("PostgreSQL's CPU", usage.postgres_cpu_seconds, String::new()),
            ("own CPU", Some(usage.own_cpu_seconds), String::new()),
        ];
        for (name, seconds, more) in lines {
            if let Some(seconds) = seconds {
                let cores = seconds / usage.seconds.max(0.001);
                row(
                    name,
                    format!("{seconds:.2} s in {:.1} s, {cores:.2} cores{more}", usage.seconds),
                );
            }
        }
        let Some(memory) = &usage.memory else { return };
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
        let idled = memory.idled.map(|bytes| format!(", idled {}", mib(bytes))).unwrap_or_default();
        let (before, connected, loaded) =
            (mib(memory.before_dashboards), mib(memory.connected), mib(memory.loaded));
        row(
            "relays' memory, MiB",
            format!(
                "before dashboards {before}, connected {connected}, after the load {loaded}{idled}"
            ),
        );
        if memory.idled.is_some() && self.dashboards > 0 {
            row("a dashboard's memory", format!("{:.1} KiB", memory.per_dashboard / 1024.0));
        }
    }
}
