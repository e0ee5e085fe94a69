//! `make bench` and `make bench-quick`: the relay's figures, and beside them in the same run its
//! floors: what pgbench inserts into the same schema, and a bare WebSocket broadcast of the same
//! bytes that stores nothing.
//!
//! - `stage` starts PostgreSQL, relays and runs of `simulate`; `floors` runs pgbench; `broadcast`
//!   is the server of the bare broadcast.
//! - `rows` measures the loads that are repeated; `single` measures what runs once or a few times;
//!   `resume` measures a dashboard that catches up; `curves` measures the plots.
//! - `report` writes BENCHMARKS.md; `svg` draws the plots; `baseline` holds the figures that
//!   `quick` compares with; `stats` has medians and rounded numbers.
//!
//! The results lie in the folder above this one.

#![allow(unreachable_pub, reason = "no other crate uses a program: `pub` says nothing more")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use progress_relay::relay::signals::Signals;

mod baseline;
mod broadcast;
mod curves;
mod floors;
mod report;
mod resume;
mod rows;
mod single;
mod stage;
mod stats;
mod svg;

/// Any error ends the benchmark with its text.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Measures the relay and its floors")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All of it; writes BENCHMARKS.md, its plots, and the baseline
    Full {
        /// Runs that a median is of
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Seconds that each run measures
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// The folder of BENCHMARKS.md and bench/
        #[arg(long, default_value = ".")]
        folder: PathBuf,
    },
    /// The repeated loads, compared with the baseline; fails if one is slower by over a fifth
    Quick {
        #[arg(long, default_value_t = 3)]
        runs: usize,
        #[arg(long, default_value_t = 2)]
        seconds: u64,
        #[arg(long, default_value = ".")]
        folder: PathBuf,
    },
    /// The bare broadcast, until it is killed
    Broadcast,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Full { runs, seconds, folder } => {
            on_a_stage(async |stage| full(stage, runs, seconds, &folder).await).await
        }
        Command::Quick { runs, seconds, folder } => {
            on_a_stage(async |stage| quick(stage, runs, seconds, &folder).await).await
        }
        Command::Broadcast => broadcast::serve().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts a PostgreSQL for `work` and stops it when the work ends, fails or is interrupted.
async fn on_a_stage(work: impl AsyncFnOnce(&stage::Stage) -> Outcome<()>) -> Outcome<()> {
    let mut signals = Signals::new()?;
    let stage = stage::Stage::start().await?;
    let done = tokio::select! {
        done = work(&stage) => done,
        () = signals.next() => Err("stopped by a signal".into()),
    };
    stage.stop().await?;
    done
}

async fn full(
    stage: &stage::Stage,
    runs: usize,
    seconds: u64,
    folder: &std::path::Path,
) -> Outcome<()> {
    let begun = std::time::Instant::now();
    let machine = report::Machine::look(stage).await?;
    let rows = rows::measure(stage, runs, seconds).await?;
    // Printed now, so that a failure below does not lose minutes of measuring.
    eprintln!("{}", report::load_table(&rows));
    let singles = single::measure(stage, runs).await?;
    let plots = curves::measure(stage, seconds.min(3)).await?;
    let text = report::page(&machine, runs, seconds, begun.elapsed(), &rows, &singles, &plots);
    std::fs::create_dir_all(folder.join("bench"))?;
    for plot in &plots {
        std::fs::write(
            folder.join("bench").join(format!("{}.svg", plot.name)),
            svg::draw(&plot.panels),
        )?;
    }
    std::fs::write(folder.join("BENCHMARKS.md"), &text)?;
    baseline::write(folder, &machine.processor, &rows)?;
    println!("{text}");
    Ok(())
}

async fn quick(
    stage: &stage::Stage,
    runs: usize,
    seconds: u64,
    folder: &std::path::Path,
) -> Outcome<()> {
    let baseline = baseline::read(folder)?;
    let rows = rows::measure_without_broadcast(stage, runs, seconds).await?;
    let (text, slower) = baseline::compare(&baseline, &rows);
    print!("{text}");
    if slower { Err("slower than the baseline by more than 20%, see above".into()) } else { Ok(()) }
}
