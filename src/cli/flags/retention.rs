//! The flags that say what is kept, and for how long.

use std::time::Duration;

use clap::Args;

use super::units::parse_days;
use crate::housekeeping;

/// Retention.
#[derive(Debug, Args)]
#[command(next_help_heading = "Retention")]
pub(in crate::cli) struct RetentionFlags {
    /// How long entries of the audit are kept; the leader deletes older ones
    ///
    /// Too low: who saw a student's work cannot be told when it is asked. Too high: the audit is
    /// personal data too.
    #[arg(long, env = "RELAY_AUDIT_RETAIN", value_name = "DAYS", default_value = "180d",
          value_parser = parse_days)]
    audit_retain: Duration,
}

impl RetentionFlags {
    pub(in crate::cli) fn housekeeping(&self) -> housekeeping::Config {
        housekeeping::Config { audit_retain: self.audit_retain }
    }
}
