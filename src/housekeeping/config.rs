//! What the leader keeps, and for how long.

use std::time::Duration;

/// What the leader keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    /// How long entries of the audit are kept.
    pub audit_retain: Duration,
}
