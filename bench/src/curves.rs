//! The plots: over the offered load, the dashboards, the replicas and the history.

use tokio_postgres::Client;

use crate::Outcome;
use crate::single::grow;
use crate::stage::{Stage, figure};
use crate::svg::Panel;

/// One plot of BENCHMARKS.md.
pub struct Plot {
    pub name: &'static str,
    pub caption: String,
    pub panels: Vec<Panel>,
}

/// Panels of throughput and latency over one axis. A point is x, throughput, p50 and p99.
fn panels(
    title: &'static str,
    unit: &'static str,
    x: &'static str,
    log_x: bool,
    points: &[[f64; 4]],
) -> Vec<Panel> {
    let line = |index: usize| points.iter().map(|point| (point[0], point[index])).collect();
    vec![
        Panel { title, x, log_x, log_y: false, lines: vec![(unit, line(1))] },
        Panel {
            title: "POST to frame, ms",
            x,
            log_x,
            log_y: true,
            lines: vec![("p50", line(2)), ("p99", line(3))],
        },
    ]
}

fn cost_panel(x: &'static str, log_x: bool, cost: Vec<(f64, f64)>) -> Panel {
    let lines = vec![("all of its CPU / deliveries", cost)];
    Panel { title: "µs of the relay's CPU per delivery", x, log_x, log_y: true, lines }
}

pub async fn measure(stage: &Stage, seconds: u64) -> Outcome<Vec<Plot>> {
    Ok(vec![
        load(stage, seconds).await?,
        dashboards(stage, seconds).await?,
        replicas(stage, seconds).await?,
        history(stage, seconds).await?,
    ])
}

async fn load(stage: &Stage, seconds: u64) -> Outcome<Plot> {
    let relay = stage.relays(1).await?;
    let (mut points, mut cost) = (Vec::new(), Vec::new());
    for offered in [500, 1000, 2000, 4000, 8000, 12_000, 16_000, 20_000, 24_000, 28_000] {
        eprintln!("curve: {offered} events/s");
        let flags =
            format!("--connections 256 --rate {offered} --duration {seconds}s --warmup 500ms");
        let report = stage.simulate(&relay, &flags).await?;
        points.push([
            f64::from(offered),
            figure(&report, "/subscriberEventsPerSecond"),
            figure(&report, "/postToFrameLatency/p50"),
            figure(&report, "/postToFrameLatency/p99"),
        ]);
        cost.push((f64::from(offered), figure(&report, "/relayCpuMicrosPerDelivery")));
    }
    let mut panels = panels("events/s delivered", "events/s", "events/s offered", false, &points);
    panels.push(cost_panel("events/s offered", false, cost));
    Ok(Plot {
        name: "load",
        caption: "Single-event POSTs at a fixed rate (open loop, latency from when each was due), \
             256 connections, 10 dashboards"
            .into(),
        panels,
    })
}

async fn dashboards(stage: &Stage, seconds: u64) -> Outcome<Plot> {
    let relay = stage.relays(1).await?;
    let (mut latency, mut cost) = (Vec::new(), Vec::new());
    for count in [1, 10, 100, 300, 1000, 2000] {
        eprintln!("curve: {count} dashboards");
        let flags = format!("--dashboards {count} --rate 500 --duration {seconds}s --warmup 500ms");
        let report = stage.simulate(&relay, &flags).await?;
        let x = f64::from(count);
        latency.push([
            x,
            figure(&report, "/deliveriesPerSecond"),
            figure(&report, "/postToFrameLatency/p50"),
            figure(&report, "/postToFrameLatency/p99"),
        ]);
        cost.push((x, figure(&report, "/relayCpuMicrosPerDelivery")));
    }
    let mut panels = panels("deliveries/s", "deliveries/s", "dashboards", true, &latency);
    panels.push(cost_panel("dashboards", true, cost));
    Ok(Plot {
        name: "dashboards",
        caption: "500 events/s to more and more dashboards".into(),
        panels,
    })
}

async fn replicas(stage: &Stage, seconds: u64) -> Outcome<Plot> {
    let database = stage.database().await?;
    let (mut points, mut reads) = (Vec::new(), Vec::new());
    for count in 1..=4 {
        eprintln!("curve: {count} replicas");
        let relays = stage.relays(count).await?;
        let before = fetched(&database).await?;
        let full =
            stage.simulate(&relays, &format!("--connections 128 --duration {seconds}s")).await?;
        reads.push(((fetched(&database).await? - before) / figure(&full, "/sent"), count));
        let steady = stage.simulate(&relays, &format!("--rate 1000 --duration {seconds}s")).await?;
        points.push([
            count as f64,
            figure(&full, "/subscriberEventsPerSecond"),
            figure(&steady, "/postToFrameLatency/p50"),
            figure(&steady, "/postToFrameLatency/p99"),
        ]);
    }
    let reads: Vec<String> =
        reads.iter().map(|(reads, count)| format!("{count}: {reads:.2}")).collect();
    Ok(Plot {
        name: "replicas",
        caption: format!(
            "One to four relays on the same two cores and database; single-event POSTs over 128 \
             connections, each sent as soon as the one before is answered, and latency at \
             1,000 events/s. Reads of each event from the table, by replicas: {}. The leader \
             reads some events once more, to load a class that begins under full load and write \
             its snapshot",
            reads.join(", ")
        ),
        panels: panels("events/s", "events/s", "replicas", false, &points),
    })
}

/// How many rows of the table index scans have read so far, once all sessions have reported.
async fn fetched(database: &Client) -> Outcome<f64> {
    // A session reports at once, or after ten idle seconds if it reported in the last second.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let row = database
        .query_one(
            "SELECT idx_tup_fetch::float8 FROM pg_stat_user_tables WHERE relname = \
                 'progress_event'",
            &[],
        )
        .await?;
    Ok(row.try_get(0)?)
}

async fn history(stage: &Stage, seconds: u64) -> Outcome<Plot> {
    let database = stage.database().await?;
    // The measurements before left events in the table.
    database.batch_execute("TRUNCATE progress_event").await?;
    let mut points = Vec::new();
    let mut stored = 0;
    for events in [10_000, 100_000, 1_000_000] {
        eprintln!("curve: {events} events of history");
        grow(&database, "history", events - stored).await?;
        stored = events;
        let relay = stage.relays(1).await?;
        let full =
            stage.simulate(&relay, &format!("--connections 128 --duration {seconds}s")).await?;
        let steady = stage.simulate(&relay, &format!("--rate 1000 --duration {seconds}s")).await?;
        points.push([
            f64::from(events),
            figure(&full, "/subscriberEventsPerSecond"),
            figure(&steady, "/postToFrameLatency/p50"),
            figure(&steady, "/postToFrameLatency/p99"),
        ]);
    }
    Ok(Plot {
        name: "history",
        caption: "With a history of ten thousand to a million events; loads as for replicas".into(),
        panels: panels("events/s", "events/s", "events stored before", true, &points),
    })
}
