//! The flags that say how the relay starts and stops.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::units::parse_duration;
use crate::relay::{StartConfig, StopConfig};

/// Start and stop.
#[derive(Debug, Args)]
#[command(next_help_heading = "Start and stop")]
pub(in crate::cli) struct LifecycleFlags {
    /// How long a database that is away at the start is waited for, meanwhile answering /healthz
    /// with 200 and everything else with 503; or `forever`
    #[arg(long, env = "RELAY_START_PATIENCE", value_name = "TIME", default_value = "30s",
          value_parser = parse_patience)]
    start_patience: Patience,
    /// Do not apply migrations, only check that none is missing
    #[arg(long, env = "RELAY_NO_MIGRATE", value_parser = BoolishValueParser::new())]
    no_migrate: bool,
    /// From SIGTERM to the end of accepting, while /readyz says 503
    ///
    /// Too low: a balancer that has not noticed yet sends requests to a relay that accepts none.
    #[arg(long, env = "RELAY_DRAIN_DELAY", value_name = "TIME", default_value = "0s",
          value_parser = parse_duration)]
    drain_delay: Duration,
    /// After that, how long requests may take to end, and over how long dashboards are sent
    /// elsewhere
    ///
    /// Too low: all dashboards reconnect at one moment. Too high: a deploy takes as long.
    #[arg(long, env = "RELAY_DRAIN", value_name = "TIME", default_value = "10s",
          value_parser = parse_duration)]
    drain: Duration,
}

impl LifecycleFlags {
    pub(in crate::cli) fn start(&self) -> StartConfig {
        StartConfig { migrate: !self.no_migrate, patience: self.start_patience.0 }
    }

    pub(in crate::cli) fn stop(&self) -> StopConfig {
        StopConfig { delay: self.drain_delay, drain: self.drain }
    }
}

/// A time; `None` is for ever.
#[derive(Debug, Clone, Copy)]
struct Patience(Option<Duration>);

fn parse_patience(text: &str) -> Result<Patience, String> {
    match text.trim() {
        "forever" => Ok(Patience(None)),
        text => parse_duration(text)
            .map(|time| Patience(Some(time)))
            .map_err(|wrong| format!("{wrong}, or forever")),
    }
}
