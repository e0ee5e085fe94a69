//! The configuration of a replica.

use std::net::SocketAddr;
use std::time::Duration;

use super::postgres::DatabaseSource;
use crate::{access, housekeeping, http, writer};

/// The validated configuration of a replica: one field for each part.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The address and port to listen on; port 0 takes a free one.
    pub bind: SocketAddr,
    /// The address and port at which operators find metrics and health, apart from everyone else.
    pub admin_bind: Option<SocketAddr>,
    /// The certificate, if the relay itself speaks TLS.
    pub tls: Option<http::TlsFiles>,
    /// The sources of callers.
    pub access: access::Config,
    /// Where the database is: a URL, or a private server of this replica.
    pub database: DatabaseSource,
    /// How the replica starts.
    pub start: StartConfig,
    /// The limits of requests and connections.
    pub http: http::Config,
    /// The limits of the writer.
    pub writer: writer::Config,
    /// The bytes of newest events that the log keeps in memory.
    pub log_memory: usize,
    /// What the leader keeps, and for how long.
    pub housekeeping: housekeeping::Config,
    /// How the replica stops.
    pub stop: StopConfig,
}

/// How a replica starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartConfig {
    /// Whether the start applies migrations. Otherwise it checks that none is missing.
    pub migrate: bool,
    /// How long the start waits for a database that is away; `None` without a limit.
    pub patience: Option<Duration>,
}

/// How a replica stops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StopConfig {
    /// From the first signal to the end of accepting, while `/readyz` answers 503.
    pub delay: Duration,
    /// From the end of accepting to the moment at which open requests are cut off.
    pub drain: Duration,
}
