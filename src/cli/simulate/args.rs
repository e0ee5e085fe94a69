//! The flags of `simulate`.

use std::time::Duration;

use clap::builder::BoolishValueParser;

use crate::cli::flags::token::TokenFlags;
use crate::cli::flags::units::parse_duration;
use crate::error::Failure;

/// Connections that post at `--pace flat`.
const CONNECTIONS: u32 = 32;
/// The warm-up at `--pace flat`.
const WARMUP: Duration = Duration::from_secs(1);
/// The most students at `--pace realistic`. Each has a connection, and a loopback address has about
/// 28,000 ports.
const MOST_STUDENTS: u32 = 50_000;

/// The students' behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Behaviour {
    /// Runs of cells, evenly or as fast as they are answered.
    Flat,
    /// A lesson.
    Realistic,
}

/// Measure a relay: a class of students and dashboards, rates, latencies, losses.
#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Args {
    /// URL of the relay; several replicas take posts and dashboards in turn. Without it, relays are
    /// started for the run, on a private PostgreSQL in a temporary folder. Not RELAY_URL, which is
    /// the relay of real classes
    #[arg(long = "url", env = "RELAY_SIMULATE_URL", value_name = "URL", value_delimiter = ',')]
    pub urls: Vec<String>,
    #[command(flatten)]
    pub token: TokenFlags,
    /// Post to the relays of --url without asking first
    #[arg(long, env = "RELAY_SIMULATE_YES", value_parser = BoolishValueParser::new())]
    pub yes: bool,
    /// Relays to start for the run
    #[arg(long, env = "RELAY_RELAYS", value_name = "N", default_value_t = 1,
          conflicts_with = "urls",
          value_parser = clap::value_parser!(u32).range(1..=16))]
    pub relays: u32,
    /// Processes of the relays of --url, for their CPU and memory
    #[arg(
        long,
        env = "RELAY_RELAY_PID",
        value_name = "PID",
        value_delimiter = ',',
        requires = "urls"
    )]
    pub relay_pid: Vec<u32>,
    /// The class to write to [default: simulate-RANDOM]; not RELAY_CLASS, so that no real class is
    /// written to
    #[arg(long, env = "RELAY_SIMULATE_CLASS", value_name = "CLASS")]
    pub class: Option<String>,
    /// The students' behaviour: flat, runs of cells at --rate or as fast as they are answered;
    /// realistic, a lesson: all open the notebook at its beginning, then 2 to 20 runs a minute
    /// each, with think times, failures and hands raised
    #[arg(long, env = "RELAY_PACE", value_enum, default_value_t = Behaviour::Flat)]
    pub pace: Behaviour,
    /// Connections that post, each one POST at a time [default: 32; realistic: one a student]
    #[arg(long, env = "RELAY_CONNECTIONS", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub connections: Option<u32>,
    /// Events in a POST
    #[arg(long, env = "RELAY_BATCH", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Dashboards that follow the class
    #[arg(long, env = "RELAY_DASHBOARDS", value_name = "N", default_value_t = 10)]
    pub dashboards: u32,
    /// Events a second, all connections together; latency counts from the moment each was due.
    /// Without it, as fast as the relay answers
    #[arg(long, env = "RELAY_RATE", value_name = "EVENTS/S", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// POSTs that are due at one instant, at --rate
    #[arg(long, env = "RELAY_BURST", value_name = "N", default_value_t = 1, requires = "rate",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub burst: u32,
    /// How long to measure
    #[arg(long, env = "RELAY_DURATION", value_name = "TIME", default_value = "10s",
          value_parser = parse_duration)]
    pub duration: Duration,
    /// How long to post before, uncounted [default: 1s; realistic: 0s]
    #[arg(long, env = "RELAY_WARMUP", value_name = "TIME", value_parser = parse_duration)]
    pub warmup: Option<Duration>,
    /// How long to hold the dashboards idle at the end, for the relay's memory a dashboard
    #[arg(long, env = "RELAY_IDLE", value_name = "TIME", default_value = "0s",
          value_parser = parse_duration)]
    pub idle: Duration,
    /// Students whose events are posted
    #[arg(long, env = "RELAY_STUDENTS", value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub students: u32,
    /// One JSON object instead of a table
    #[arg(long, env = "RELAY_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=1e7).contains(&rate) {
        Ok(rate)
    } else {
        Err("between 0.001 and 10000000".to_owned())
    }
}

impl Args {
    /// Checks that the flags can be used together.
    ///
    /// # Errors
    /// If they cannot.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.pace == Behaviour::Flat {
            return Ok(());
        }
        if self.rate.is_some() || self.batch != 1 || self.connections.is_some() {
            return Err(Failure::usage(
                "--pace realistic: each student has a separate connection and pace; leave out \
                 --rate, --batch, --connections",
            ));
        }
        if self.students > MOST_STUDENTS {
            return Err(Failure::usage(format!(
                "--pace realistic takes up to {MOST_STUDENTS} --students"
            )));
        }
        Ok(())
    }

    pub(super) fn connections(&self) -> u32 {
        match self.pace {
            Behaviour::Flat => self.connections.unwrap_or(CONNECTIONS),
            Behaviour::Realistic => self.students,
        }
    }

    pub(super) fn warmup(&self) -> Duration {
        // The beginning of a lesson belongs to the load.
        let default = if self.pace == Behaviour::Flat { WARMUP } else { Duration::ZERO };
        self.warmup.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, String> {
        let parsed =
            Only::try_parse_from(std::iter::once("simulate").chain(line.split_whitespace()));
        let args = parsed.map_err(|error| error.to_string())?.args;
        args.check().map_err(|failure| failure.to_string())?;
        Ok(args)
    }

    #[test]
    fn a_lesson_has_one_connection_for_each_student() {
        let args = parse("--pace realistic --students 300").expect("valid");
        assert_eq!((args.connections(), args.warmup()), (300, Duration::ZERO));
        let args = parse("--students 300").expect("valid");
        assert_eq!((args.connections(), args.warmup()), (CONNECTIONS, WARMUP));
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for line in [
            "--pace realistic --rate 5",
            "--pace realistic --connections 5",
            "--pace realistic --students 60000",
            "--burst 5",
            "--relay-pid 1",
            "--url http://a --relays 2",
            "--pace brisk",
            "--rate 0",
            "--duration 5",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("--url http://a,http://b --relay-pid 1,2 --rate 10 --burst 5").is_ok());
    }
}
