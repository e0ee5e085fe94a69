//! The text of BENCHMARKS.md.

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

/// The discussion of the figures, which is written by hand.
const NOTES: &str = include_str!("notes.md");
/// The longest line of the report.
const COLUMNS: usize = 100;

/// The machine and the programs that were measured.
pub struct Machine {
    pub processor: String,
    cores: usize,
    memory: String,
    kernel: String,
    postgres: String,
    rust: String,
    commit: String,
    date: String,
    /// The load average of the minute before the benchmark.
    busy: String,
}

impl Machine {
    pub async fn look(stage: &Stage) -> Outcome<Self> {
        let line = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown");
            line.trim_matches([' ', '\t', ':']).to_owned()
        };
        let output = |program: &str, args: &[&str]| {
            let stdout = Command::new(program).args(args).output().map(|output| output.stdout);
            String::from_utf8_lossy(&stdout.unwrap_or_default()).trim().to_owned()
        };
        let row = stage.database().await?.query_one("SHOW server_version", &[]).await?;
        let kib: f64 =
            line("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
        Ok(Self {
            processor: line("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism()?.get(),
            memory: format!("{:.0} GiB", kib / f64::from(1 << 20)),
            kernel: output("uname", &["-sr"]),
            postgres: row.try_get(0)?,
            rust: output("rustc", &["--version"]),
            commit: output("git", &["rev-parse", "--short", "HEAD"]),
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

/// The text of BENCHMARKS.md.
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

`make bench` (`bench full --runs {runs} --seconds {seconds}`) wrote this page in {:.0} minutes.
Do not edit it.

- Date: {date}
- Machine: {processor}, {cores} cores, {memory}, {kernel}
- Load average in the minute before: {busy}
- Relay: {} at {commit}, release build, {rust}
- Database: PostgreSQL {postgres}, private, fsync on

Relay, PostgreSQL and the load share the cores of this one machine: compare a figure with the
figures beside it, and not with those of another day. Figures are medians of {runs} runs of
{seconds} s each, and every run of the relay is followed by its floors. Throughput is counted at
the slowest of 10 dashboards, each of which checks that it received every event once and in order.
A run in which an event is lost fails the benchmark.

- **pgbench** is the rate of PostgreSQL with the same schema, triggers and statement, without a
  relay: one row per statement for single events, and fifty rows by `unnest` from 4 clients for
  POSTs of 50. The bodies are part of the prepared statement and are not sent.
- **broadcast** is a bare WebSocket broadcast of the same bytes (`bench/src/broadcast.rs`), which
  checks, stores and resumes nothing.

A pair of latencies is the p50 and the p99, from the POST to the frame unless the column says
otherwise.

## Load and floors

{}",
        took.as_secs_f64() / 60.0,
        env!("CARGO_PKG_VERSION"),
        load_table(rows),
    );
    out.push_str(&cpu_table(rows));
    out.push('\n');
    out.push_str(NOTES);
    out.push_str("\n## Memory, scale, resuming, overload\n\n");
    for line in lines {
        out.push_str(&single_line(line));
    }
    out.push_str(
        "
Under overload the load itself needs a good part of the two cores, so that less is left for the
relay and PostgreSQL than when the capacity was measured. What happens when a database or a relay
is killed under load is tested, not measured: `tests/integration/operations/`.

## Curves
",
    );
    for Plot { name, caption, .. } in plots {
        let caption = wrapped(&format!("{caption}."), "");
        let _ = write!(out, "\n{caption}\n![{name}](bench/{name}.svg)\n");
    }
    out
}

/// `text` in lines of at most 100 columns; every line but the first begins with `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if width == 0 {
            width = length;
        } else if width + 1 + length > COLUMNS {
            let _ = write!(out, "\n{indent}");
            width = indent.len() + length;
        } else {
            out.push(' ');
            width += 1 + length;
        }
        out.push_str(word);
    }
    out.push('\n');
    out
}

/// A measurement that runs once, as an item of a list.
fn single_line(line: &Line) -> String {
    let Line { title, bar, measured, met, command } = line;
    let met = match met {
        Some(true) => "met",
        Some(false) => "not met",
        None => "not measured",
    };
    let mut out = wrapped(&format!("- **{title}**: {measured}."), "  ");
    let _ = writeln!(out, "  Bar: {bar} ({met}).");
    if !command.is_empty() {
        let _ = writeln!(out, "  `{command}`");
    }
    out
}

/// The repeated loads beside their floors, and below that their latencies and ratios.
pub fn load_table(rows: &[Row]) -> String {
    let mut out = "| load | bar | relay | pgbench | broadcast | met |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for row in rows {
        out.push_str(&floors_row(row));
    }
    out.push_str(
        "\n| load | POST p50 / p99 | POST to frame p50 / p99 | relay / pgbench | relay / broadcast \
         |\n|---|---|---|---|---|\n",
    );
    for row in rows {
        out.push_str(&latency_row(row));
    }
    out
}

/// The CPU time of a delivery, and the flags of each load.
fn cpu_table(rows: &[Row]) -> String {
    let mut out = "
Microseconds of the server's CPU per event and dashboard, everything that the server does included:

| load | `simulate …` | relay | broadcast |
|---|---|---|---|
"
    .to_owned();
    for Row { load, relay, broadcast, .. } in rows {
        let bare = broadcast.as_ref().map_or(f64::NAN, |bare| bare.cpu);
        let (relay, bare) = (number(relay.cpu), number(bare));
        let _ = writeln!(out, "| {} | `{}` | {relay} | {bare} |", load.title, load.flags);
    }
    out
}

/// Two latencies in milliseconds.
fn pair(values: [f64; 2]) -> String {
    format!("{} / {}", number(values[0]), number(values[1]))
}

fn floors_row(row: &Row) -> String {
    let Row { load, relay, pgbench, broadcast } = row;
    let (bar, main, met) = match load.measure {
        Measure::Throughput => (
            format!("≥ {}/s", number(load.bar)),
            format!("**{}**/s", number(relay.events)),
            relay.events >= load.bar,
        ),
        Measure::Latency => {
            let bar = match load.bar_p50 {
                Some(p50) => format!("≤ {p50} / {} ms", load.bar),
                None => format!("p99 ≤ {} ms", load.bar),
            };
            (
                bar,
                format!("**{}** ms", pair(relay.frame)),
                relay.frame[1] <= load.bar && load.bar_p50.is_none_or(|p50| relay.frame[0] <= p50),
            )
        }
    };
    let floor = |bare: &Figures| match load.measure {
        Measure::Throughput => format!("{}/s", number(bare.events)),
        Measure::Latency => pair(bare.frame) + " ms",
    };
    let cells = [
        load.title.to_owned(),
        bar,
        main,
        pgbench.map_or("–".into(), |rows| format!("{}/s", number(rows))),
        broadcast.as_ref().map_or("–".into(), floor),
        if met { "yes" } else { "no" }.into(),
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn latency_row(row: &Row) -> String {
    let Row { load, relay, pgbench, broadcast } = row;
    let ratio = |bare: &Figures| match load.measure {
        Measure::Throughput => format!("{:.2}×", relay.events / bare.events),
        Measure::Latency => {
            let [p50, p99] = [0, 1].map(|index| relay.frame[index] / bare.frame[index]);
            format!("{p50:.1}× / {p99:.1}×")
        }
    };
    let cells = [
        load.title.to_owned(),
        pair(relay.post) + " ms",
        pair(relay.frame) + " ms",
        pgbench.map_or("–".into(), |rows| format!("{:.2}×", relay.events / rows)),
        broadcast.as_ref().map_or("–".into(), ratio),
    ];
    format!("| {} |\n", cells.join(" | "))
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
        let (floors, latencies) = (floors_row(&row), latency_row(&row));
        assert!(floors.ends_with("| **40,000**/s | 50,000/s | 80,000/s | no |\n"), "{floors}");
        assert!(latencies.ends_with("| 1.00 / 8.00 ms | 0.80× | 0.50× |\n"), "{latencies}");
        row.load = &LOADS[3];
        row.pgbench = None;
        let (floors, latencies) = (floors_row(&row), latency_row(&row));
        assert!(floors.ends_with("| **1.00 / 8.00** ms | – | 1.00 / 2.00 ms | no |\n"), "{floors}");
        assert!(floors.contains("| ≤ 1.2 / 5 ms |"), "{floors}");
        assert!(latencies.ends_with("| – | 1.0× / 4.0× |\n"), "{latencies}");
    }

    #[test]
    fn no_line_of_the_page_is_longer_than_100_columns() {
        let figures = Figures {
            events: 123_000.0,
            post: [123.0; 2],
            frame: [12.3; 2],
            cpu: 12.3,
            ..Figures::default()
        };
        let rows: Vec<Row> = LOADS
            .iter()
            .map(|load| Row {
                load,
                relay: figures.clone(),
                pgbench: load.pgbench.map(|_| 123_000.0),
                broadcast: Some(figures.clone()),
            })
            .collect();
        let text = || "some words of a text".to_owned();
        let machine = Machine {
            processor: text(),
            cores: 64,
            memory: text(),
            kernel: text(),
            postgres: text(),
            rust: text(),
            commit: text(),
            date: text(),
            busy: text(),
        };
        let single = Line {
            title: text(),
            bar: "some words of a text",
            measured: "some words of a text; ".repeat(20),
            met: Some(true),
            command: text(),
        };
        let plot = Plot { name: "some", caption: text().repeat(20), panels: Vec::new() };
        let page = page(&machine, 5, 5, Duration::from_secs(600), &rows, &[single], &[plot]);
        for line in page.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
        assert!(page.contains("\n  Bar: some words of a text (met).\n"), "{page}");
    }
}
