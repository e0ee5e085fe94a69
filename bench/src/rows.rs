//! The loads that are measured repeatedly, each followed by its floors.
//!
//! The machine may become slower or faster during a run of minutes; a load and its floors that
//! follow one another see the same machine.

use serde_json::Value;

use crate::Outcome;
use crate::floors::pgbench;
use crate::stage::{Server, Stage, figure};
use crate::stats::median;

/// The figure that a load is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Events per second at the slowest dashboard.
    Throughput,
    /// The time from the POST to the frame.
    Latency,
}

/// A kind of load.
pub struct Load {
    pub name: &'static str,
    pub title: &'static str,
    pub flags: &'static str,
    pub measure: Measure,
    /// The least events per second, or the largest 99th percentile in milliseconds.
    pub bar: f64,
    /// The largest median in milliseconds, for a load that has a bar for it.
    pub bar_p50: Option<f64>,
    /// The clients of pgbench and the rows of each of its statements.
    pub pgbench: Option<(u32, usize)>,
}

pub const LOADS: [Load; 5] = [
    Load {
        name: "single32",
        title: "single POSTs, 32 connections",
        flags: "--connections 32",
        measure: Measure::Throughput,
        bar: 19_900.0,
        bar_p50: None,
        pgbench: Some((32, 1)),
    },
    Load {
        name: "single128",
        title: "single POSTs, 128 connections",
        flags: "--connections 128",
        measure: Measure::Throughput,
        bar: 19_900.0,
        bar_p50: None,
        pgbench: Some((128, 1)),
    },
    Load {
        name: "batch50",
        title: "POSTs of 50 events, 32 connections",
        flags: "--connections 32 --batch 50",
        measure: Measure::Throughput,
        bar: 52_800.0,
        bar_p50: None,
        pgbench: Some((4, 50)),
    },
    Load {
        name: "steady",
        title: "1,000 events/s, 10 dashboards",
        flags: "--rate 1000",
        measure: Measure::Latency,
        bar: 5.0,
        bar_p50: Some(1.2),
        pgbench: None,
    },
    Load {
        name: "wide",
        title: "1,000 events/s, 1,000 dashboards",
        flags: "--rate 1000 --dashboards 1000",
        measure: Measure::Latency,
        bar: 150.0,
        bar_p50: None,
        pgbench: None,
    },
];

/// Medians over the runs of a load.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    pub events: f64,
    pub deliveries: f64,
    pub post: [f64; 2],
    pub frame: [f64; 2],
    /// Microseconds of the server's CPU per delivery.
    pub cpu: f64,
}

impl Figures {
    fn of(reports: &[Value]) -> Self {
        let middle = |pointer: &str| {
            let values: Vec<f64> = reports.iter().map(|report| figure(report, pointer)).collect();
            median(&values)
        };
        Self {
            events: middle("/subscriberEventsPerSecond"),
            deliveries: middle("/deliveriesPerSecond"),
            post: [middle("/postLatency/p50"), middle("/postLatency/p99")],
            frame: [middle("/postToFrameLatency/p50"), middle("/postToFrameLatency/p99")],
            cpu: middle("/relayCpuMicrosPerDelivery"),
        }
    }
}

pub struct Row {
    pub load: &'static Load,
    pub relay: Figures,
    /// Rows per second.
    pub pgbench: Option<f64>,
    pub broadcast: Option<Figures>,
}

/// Measures each load `runs` times for `seconds`, each time followed by its floors.
pub async fn measure(stage: &Stage, runs: usize, seconds: u64) -> Outcome<Vec<Row>> {
    rounds(stage, runs, seconds, true).await
}

/// The same without the bare broadcast.
pub async fn measure_without_broadcast(
    stage: &Stage,
    runs: usize,
    seconds: u64,
) -> Outcome<Vec<Row>> {
    rounds(stage, runs, seconds, false).await
}

async fn rounds(stage: &Stage, runs: usize, seconds: u64, bare: bool) -> Outcome<Vec<Row>> {
    #[derive(Default)]
    struct Seen {
        relay: Vec<Value>,
        pgbench: Vec<f64>,
        broadcast: Vec<Value>,
    }
    let relay = stage.relays(1).await?;
    let broadcast: Vec<Server> = if bare { vec![stage.broadcast().await?] } else { Vec::new() };
    let mut seen: Vec<Seen> = LOADS.iter().map(|_| Seen::default()).collect();
    for round in 0..runs {
        for (load, seen) in LOADS.iter().zip(&mut seen) {
            eprintln!("{} of {runs}: {}", round + 1, load.title);
            let flags = format!("{} --duration {seconds}s", load.flags);
            seen.relay.push(stage.simulate(&relay, &flags).await?);
            if let Some((clients, rows)) = load.pgbench {
                seen.pgbench.push(pgbench(stage, clients, rows, seconds).await?);
            }
            if bare {
                seen.broadcast.push(stage.simulate(&broadcast, &flags).await?);
            }
        }
    }
    Ok(LOADS
        .iter()
        .zip(seen)
        .map(|(load, seen)| Row {
            load,
            relay: Figures::of(&seen.relay),
            pgbench: (!seen.pgbench.is_empty()).then(|| median(&seen.pgbench)),
            broadcast: (!seen.broadcast.is_empty()).then(|| Figures::of(&seen.broadcast)),
        })
        .collect())
}
