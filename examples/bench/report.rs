//! BENCHMARKS.md.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::format_description;

use crate::Outcome;
use crate::curves::Plot;
use crate::rows::{Figures, Measure, Row};
use crate::single::Line;
use crate::stage::Stage;
use crate::stats::number;

/// What the figures come to, by hand.
const NOTES: &str = include_str!("notes.md");

/// What it was measured on.
pub struct Machine {
    pub processor: String,
    cores: usize,
    memory: String,
    kernel: String,
    postgres: String,
    rust: String,
    commit: String,
    date: String,
    /// What else wanted the processor in the minute before.
    busy: String,
}

impl Machine {
    pub async fn look(stage: &Stage) -> Outcome<Self> {
        let line = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown");
            line.trim_matches([' ', '\t', ':']).to_owned()
        };
        let said = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).output().map(|output| output.stdout);
            String::from_utf8_lossy(&output.unwrap_or_default()).trim().to_owned()
        };
        let row = stage.database().await?.query_one("SHOW server_version", &[]).await?;
        let kib: f64 =
            line("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
        Ok(Self {
            processor: line("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism()?.get(),
            memory: format!("{:.0} GiB", kib / f64::from(1 << 20)),
            kernel: said("uname", &["-sr"]),
            postgres: row.try_get(0)?,
            rust: said("rustc", &["--version"]),
            commit: said("git", &["rev-parse", "--short", "HEAD"]),
            busy: std::fs::read_to_string("/proc/loadavg")?
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            date: OffsetDateTime::now_utc()
                .format(format_description!("[year]-[month]-[day] [hour]:[minute] UTC"))?,
        })
    }
}

pub fn page(
    machine: &Machine,
    runs: usize,
    seconds: u64,
    took: Duration,
    rows: &[Row],
    lines: &[Line],
    plots: &[Plot],
) -> String {
    let mut out = String::new();
    let Machine { processor, cores, memory, kernel, postgres, rust, commit, date, busy } = machine;
    // Writing into a String cannot fail.
    let _ = write!(
        out,
        "# Benchmarks

Written by `make bench` (`bench full --runs {runs} --seconds {seconds}`), which took {:.0} minutes. Do not edit.

| | |
|---|---|
| date | {date} |
| machine | {processor}, {cores} cores, {memory}, {kernel}; load average {busy} in the minute before |
| relay | {} at {commit}, release build, {rust} |
| database | PostgreSQL {postgres}, private, fsync on |

Relay, PostgreSQL and the load are on this one machine and share its cores: figures compare with what stands beside them, not with another
day's. Medians of {runs} runs of {seconds} s each; every run of the relay is followed by its floors. Throughput is counted at the slowest of 10
dashboards, each of which checks that it got every event once and in order; a run in which anything was lost fails the benchmark.

- **pgbench** is what PostgreSQL takes with the same schema, triggers and statement, without a relay: for single events one row a statement,
  for POSTs of 50 fifty rows by `unnest` from 4 clients. Its bodies stand in the prepared statement and are not even sent.
- **broadcast** is a bare WebSocket broadcast of the same bytes (`examples/bench/broadcast.rs`): nothing is checked, stored or resumed.

## Load and floors

{}",
        took.as_secs_f64() / 60.0,
        env!("CARGO_PKG_VERSION"),
        load_table(rows),
    );
    out.push_str(
        "
µs of the server's CPU for each event at a dashboard, everything that the server does included:

| | relay | broadcast |
|---|---|---|
",
    );
    for row in rows {
        let bare = row.broadcast.as_ref().map_or(f64::NAN, |bare| bare.cpu);
        let _ =
            writeln!(out, "| {} | {} | {} |", row.load.title, number(row.relay.cpu), number(bare));
    }
    out.push('\n');
    out.push_str(NOTES);
    out.push_str(
        "\n## Memory, scale, resuming, overload\n\n| | bar | measured | met | command \
         |\n|---|---|---|---|---|\n",
    );
    for Line { title, bar, measured, met, command } in lines {
        let met = match met {
            Some(true) => "yes",
            Some(false) => "no",
            None => "–",
        };
        let command =
            if command.starts_with('-') { format!("simulate {command}") } else { command.clone() };
        let _ = writeln!(out, "| {title} | {bar} | {measured} | {met} | `{command}` |");
    }
    out.push_str(
        "
Under overload the load itself takes a good part of the two cores, so that less is left for the relay and PostgreSQL than when the capacity was
measured. What happens when a database or a relay is killed under load is a test, not a figure: `tests/integration/faults.rs`.

## Curves
",
    );
    for Plot { name, caption, .. } in plots {
        let _ = write!(out, "\n{caption}.\n\n![{name}](bench/{name}.svg)\n");
    }
    out
}

/// The rows, each beside its floors.
pub fn load_table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| `simulate …` | | bar | relay | POST p50 / p99 | POST to frame p50 / p99 | pgbench | \
             relay / pgbench | broadcast | \
         relay / broadcast | met |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        out.push_str(&table_row(row));
        out.push('\n');
    }
    out
}

fn table_row(row: &Row) -> String {
    let Row { load, relay, pgbench, broadcast } = row;
    let pair = |values: [f64; 2]| format!("{} / {} ms", number(values[0]), number(values[1]));
    let (bar, main, met) = match load.measure {
        Measure::Throughput => (
            format!("≥ {} events/s", number(load.bar)),
            format!("**{}** events/s", number(relay.events)),
            relay.events >= load.bar,
        ),
        Measure::Latency => {
            let p50 = load.bar_p50.map_or(String::new(), |p50| format!("p50 ≤ {p50}, "));
            (
                format!("{p50}p99 ≤ {} ms", load.bar),
                format!("**{} / {}** ms", number(relay.frame[0]), number(relay.frame[1])),
                relay.frame[1] <= load.bar && load.bar_p50.is_none_or(|p50| relay.frame[0] <= p50),
            )
        }
    };
    let ratio = |bare: &Figures| match load.measure {
        Measure::Throughput => format!("{:.2}×", relay.events / bare.events),
        Measure::Latency => {
            format!(
                "{:.1}× / {:.1}×",
                relay.frame[0] / bare.frame[0],
                relay.frame[1] / bare.frame[1]
            )
        }
    };
    let floor = |bare: &Figures| match load.measure {
        Measure::Throughput => format!("{} events/s", number(bare.events)),
        Measure::Latency => pair(bare.frame),
    };
    let bare = broadcast.as_ref();
    let cells = [
        format!("`{}`", load.flags),
        load.title.to_owned(),
        bar,
        main,
        pair(relay.post),
        pair(relay.frame),
        pgbench.map_or("–".into(), |rows| format!("{} rows/s", number(rows))),
        pgbench.map_or("–".into(), |rows| format!("{:.2}×", relay.events / rows)),
        bare.map_or("–".into(), floor),
        bare.map_or("–".into(), ratio),
        if met { "yes" } else { "no" }.into(),
    ];
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::LOADS;

    #[test]
    fn a_row_says_how_far_it_is_from_its_floors() {
        let figures = |events, p99| Figures { events, frame: [1.0, p99], ..Figures::default() };
        let mut row = Row {
            load: &LOADS[2],
            relay: figures(40_000.0, 8.0),
            pgbench: Some(50_000.0),
            broadcast: Some(figures(80_000.0, 2.0)),
        };
        let text = table_row(&row);
        assert!(
            text.contains("| 50,000 rows/s | 0.80× | 80,000 events/s | 0.50× | no |"),
            "{text}"
        );
        row.load = &LOADS[3];
        row.pgbench = None;
        let text = table_row(&row);
        assert!(text.contains("| – | – | 1.00 / 2.00 ms | 1.0× / 4.0× | no |"), "{text}");
        assert!(text.contains("p50 ≤ 1.2, p99 ≤ 5 ms"), "{text}");
    }
}
