//! The figures of the last `make bench`, in bench/baseline.json, and the comparison with them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::rows::{Measure, Row};
use crate::stats::number;

const FILE: &str = "bench/baseline.json";
/// A load that is slower by more than this share fails `make bench-quick`.
const SLACK: f64 = 0.2;

#[derive(Debug, Serialize, Deserialize, PartialEq)]
pub struct Baseline {
    processor: String,
    rows: BTreeMap<String, Figure>,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
struct Figure {
    /// Events per second, of a load that is measured by throughput.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<f64>,
    /// Milliseconds from the POST to the frame, of a load that is measured by latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50: Option<f64>,
    /// Rows per second of pgbench in the same run: how fast the machine was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pgbench: Option<f64>,
}

impl Figure {
    fn of(row: &Row) -> Self {
        let by = |measure| (row.load.measure == measure).then_some(());
        Self {
            events: by(Measure::Throughput).map(|()| row.relay.events.round()),
            p50: by(Measure::Latency).map(|()| (row.relay.frame[0] * 1000.0).round() / 1000.0),
            pgbench: row.pgbench.map(f64::round),
        }
    }
}

pub fn write(folder: &Path, processor: &str, rows: &[Row]) -> Outcome<()> {
    let rows = rows.iter().map(|row| (row.load.name.to_owned(), Figure::of(row))).collect();
    let baseline = Baseline { processor: processor.to_owned(), rows };
    std::fs::write(folder.join(FILE), serde_json::to_string_pretty(&baseline)? + "\n")?;
    Ok(())
}

pub fn read(folder: &Path) -> Outcome<Baseline> {
    let text = std::fs::read_to_string(folder.join(FILE))
        .map_err(|error| format!("{FILE}: {error}; make bench writes it"))?;
    Ok(serde_json::from_str(&text)?)
}

/// The comparison as a table, and whether any load is slower than the slack allows.
pub fn compare(baseline: &Baseline, rows: &[Row]) -> (String, bool) {
    let now = rows.iter().map(|row| (row.load.name, row.load.title, Figure::of(row)));
    compare_figures(baseline, now.collect())
}

fn compare_figures(baseline: &Baseline, now: Vec<(&str, &str, Figure)>) -> (String, bool) {
    let mut out = format!("the baseline was measured on {}\n", baseline.processor);
    let mut slower = false;
    for (name, title, now) in now {
        let Some(before) = baseline.rows.get(name) else { continue };
        let (unit, was, is, speed) = match (before.events, now.events, before.p50, now.p50) {
            (Some(was), Some(is), ..) => ("events/s", was, is, is / was),
            (_, _, Some(was), Some(is)) => ("ms p50", was, is, was / is),
            _ => continue,
        };
        let machine = match (before.pgbench, now.pgbench) {
            (Some(was), Some(is)) => format!(", pgbench {:+.0}%", (is / was - 1.0) * 100.0),
            _ => String::new(),
        };
        // A figure that is missing counts as slower.
        let worse = !speed.is_finite() || speed < 1.0 - SLACK;
        slower |= worse;
        // Writing into a String cannot fail.
        let _ = writeln!(
            out,
            "{:<40} {:>8} {unit}, was {:>8}: speed {:+.0}%{machine}{}",
            title,
            number(is),
            number(was),
            (speed - 1.0) * 100.0,
            if worse { "   SLOWER" } else { "" }
        );
    }
    (out, slower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_is_a_fifth_slower_fails() {
        let events = |events| Figure { events: Some(events), p50: None, pgbench: Some(100.0) };
        let p50 = |p50| Figure { events: None, p50: Some(p50), pgbench: None };
        let rows = [("a".to_owned(), events(1000.0)), ("b".to_owned(), p50(1.0))].into();
        let baseline = Baseline { processor: "x".into(), rows };
        let slower = |now| compare_figures(&baseline, now).1;
        assert!(!slower(vec![
            ("a", "A", events(810.0)),
            ("b", "B", p50(1.2)),
            ("c", "C", p50(9.0))
        ]));
        assert!(slower(vec![("a", "A", events(790.0))]));
        assert!(slower(vec![("b", "B", p50(1.3))]) && slower(vec![("b", "B", p50(f64::NAN))]));
        let text = serde_json::to_string(&baseline).expect("json");
        assert_eq!(serde_json::from_str::<Baseline>(&text).expect("json"), baseline);
    }
}
