//! Metrics: counters, gauges and histograms, and their text for Prometheus; a leaf.
//!
//! Every part of the relay owns its metrics and registers them under their full names with a help
//! text; docs/metrics.md lists them all, and a test compares the two. A measure of every
//! event must cost next to nothing, so only the text takes a lock: a counter is
//! one atomic number, a histogram is one for each bucket and one for the sum. The values of a label
//! are fixed when the metric is made, so that no client can make up new ones.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry;

pub(crate) use prometheus_client::metrics::counter::Counter;

/// Upper bounds of the buckets of durations, in nanoseconds.
const DURATION_BOUNDS: &[u64] = &[
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];
/// Upper bounds of the buckets of numbers of rows.
const ROW_BOUNDS: &[u64] = &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000];

/// All metrics of a relay.
#[derive(Default)]
pub(crate) struct Registry(registry::Registry);

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    /// Registers a counter; its name ends with `_total`.
    pub(crate) fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.0.register(without_total(name), sentence(help), counter.clone());
    }

    /// Registers a counter with a label; its name ends with `_total`.
    pub(crate) fn counter_by(&mut self, name: &str, help: &str, counter: &CounterBy) {
        self.0.register(without_total(name), sentence(help), counter.clone());
    }

    /// Registers a histogram.
    pub(crate) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.0.register(name, sentence(help), histogram.clone());
    }

    /// Registers a gauge that `read` reads when the text is made.
    pub(crate) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        read: impl Fn() -> i64 + Send + Sync + 'static,
    ) {
        self.0.register(name, sentence(help), ReadGauge(Box::new(read)));
    }

    /// Registers a gauge that is always 1, for each pair of label values that `read` returns.
    pub(crate) fn info(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; 2],
        read: impl Fn() -> Vec<[String; 2]> + Send + Sync + 'static,
    ) {
        self.0.register(name, sentence(help), ReadInfo { labels, read: Box::new(read) });
    }

    /// All metrics in Prometheus' text format, version 0.0.4. It differs from OpenMetrics in this:
    /// HELP and TYPE of a counter name it with `_total`, and there is no `# EOF`.
    pub(crate) fn text(&self) -> String {
        let mut open = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut open, &self.0);
        let mut text = String::with_capacity(open.len() + 1024);
        let mut push = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        let mut help = None;
        for line in open.lines() {
            if line.starts_with("# HELP ") {
                help = Some(line);
            } else if let Some(name) =
                line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter"))
            {
                let text = help.take().and_then(|help| help.splitn(4, ' ').nth(3));
                push(&format!("# HELP {name}_total {}", text.unwrap_or_default()));
                push(&format!("# TYPE {name}_total counter"));
            } else if line != "# EOF" {
                help.take().into_iter().for_each(&mut push);
                push(line);
            }
        }
        text
    }
}

/// A help text, to which the registry adds a full stop.
fn sentence(help: &str) -> &str {
    help.trim_end_matches('.')
}

/// The encoder adds the suffix again.
fn without_total(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

/// A counter for each value of a label. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct CounterBy(Arc<LabelledCounts>);

#[derive(Debug)]
struct LabelledCounts {
    label: &'static str,
    values: &'static [&'static str],
    counts: Box<[AtomicU64]>,
}

impl CounterBy {
    /// A counter by `label`, which has one of these values.
    pub(crate) fn new(label: &'static str, values: &'static [&'static str]) -> Self {
        let counts = values.iter().map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(LabelledCounts { label, values, counts }))
    }

    /// Counts one more of `value`. A value that the label does not have is not counted.
    pub(crate) fn inc(&self, value: &str) {
        if let Some(at) = self.0.values.iter().position(|known| *known == value) {
            self.0.counts[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every value and its count.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed));
        self.0.values.iter().copied().zip(counts)
    }
}

impl EncodeMetric for CounterBy {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (value, count) in self.counts() {
            let labels = [(self.0.label, value)];
            encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// A distribution over fixed buckets. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    /// Upper bounds.
    bounds: &'static [u64],
    /// One for each bound, and one for all that is above.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// How many of the numbers here are one of the metric's unit.
    per_unit: f64,
}

impl Histogram {
    /// Of durations, from 250 µs to 10 s.
    pub(crate) fn of_durations() -> Self {
        Self::new(DURATION_BOUNDS, 1e9)
    }

    /// Of numbers of rows, from 1 to 2,000.
    pub(crate) fn of_rows() -> Self {
        Self::new(ROW_BOUNDS, 1.0)
    }

    fn new(bounds: &'static [u64], per_unit: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0), per_unit }))
    }

    /// Adds a duration.
    pub(crate) fn observe(&self, duration: Duration) {
        self.add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds a number of rows.
    pub(crate) fn observe_rows(&self, rows: usize) {
        self.add(u64::try_from(rows).unwrap_or(u64::MAX));
    }

    fn add(&self, number: u64) {
        let Buckets { bounds, counts, sum, .. } = &*self.0;
        let at = bounds.partition_point(|&bound| bound < number);
        counts[at].fetch_add(1, Ordering::Relaxed);
        sum.fetch_add(number, Ordering::Relaxed);
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Buckets { bounds, counts, sum, per_unit } = &*self.0;
        let bounds = bounds.iter().map(|&bound| bound as f64 / per_unit);
        let counts = counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = sum.load(Ordering::Relaxed) as f64 / per_unit;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

struct ReadGauge(Box<dyn Fn() -> i64 + Send + Sync>);

impl fmt::Debug for ReadGauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadGauge")
    }
}

impl EncodeMetric for ReadGauge {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&self.0())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

struct ReadInfo {
    labels: [&'static str; 2],
    read: Box<dyn Fn() -> Vec<[String; 2]> + Send + Sync>,
}

impl fmt::Debug for ReadInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadInfo").field("labels", &self.labels).finish_non_exhaustive()
    }
}

impl EncodeMetric for ReadInfo {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for [first, second] in (self.read)() {
            let labels = [(self.labels[0], first), (self.labels[1], second)];
            encoder.encode_family(&labels)?.encode_gauge(&1_i64)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_prometheus_own() {
        let mut registry = Registry::default();
        let (counter, by) = (Counter::default(), CounterBy::new("field", &["a", "b"]));
        registry.counter("relay_x_total", "Some x.", &counter);
        registry.counter_by("relay_y_total", "Some y.", &by);
        registry.gauge("relay_z", "Some z.", || 7);
        registry.info("relay_i", "An i.", ["part", "server"], || {
            vec![["tail".to_owned(), "a\"b\\c\n".to_owned()]]
        });
        counter.inc();
        by.inc("b");
        by.inc("made up");
        assert_eq!(
            registry.text(),
            "# HELP relay_x_total Some x.\n# TYPE relay_x_total counter\nrelay_x_total 1\n\
             # HELP relay_y_total Some y.\n# TYPE relay_y_total counter\n\
             relay_y_total{field=\"a\"} 0\nrelay_y_total{field=\"b\"} 1\n\
             # HELP relay_z Some z.\n# TYPE relay_z gauge\nrelay_z 7\n\
             # HELP relay_i An i.\n# TYPE relay_i gauge\n\
             relay_i{part=\"tail\",server=\"a\\\"b\\\\c\\n\"} 1\n"
        );
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut registry = Registry::default();
        let rows = Histogram::of_rows();
        registry.histogram("relay_rows", "Rows.", &rows);
        let durations = Histogram::of_durations();
        registry.histogram("relay_seconds", "Durations.", &durations);
        [0, 1, 2, 3, 2_000, 9_000].iter().for_each(|&n| rows.observe_rows(n));
        durations.observe(Duration::from_micros(250));
        durations.observe(Duration::from_secs(99));
        let text = registry.text();
        for line in [
            "relay_rows_bucket{le=\"1.0\"} 2",
            "relay_rows_bucket{le=\"2.0\"} 3",
            "relay_rows_bucket{le=\"2000.0\"} 5",
            "relay_rows_bucket{le=\"+Inf\"} 6",
            "relay_rows_count 6",
            "relay_rows_sum 11006.0",
            "relay_seconds_bucket{le=\"0.00025\"} 1",
            "relay_seconds_bucket{le=\"10.0\"} 1",
            "relay_seconds_count 2",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
    }
}
