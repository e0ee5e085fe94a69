//! The flags that bound requests, queues, memory and connections. The help of each says what
//! happens at the bound; its second paragraph says what a value that is too low or too high costs.

use std::time::Duration;

use clap::Args;

use super::units::{Size, at_least, parse_positive_duration};
use crate::event;
use crate::http::{Config, Edge, OriginPolicy, RequestLimits};
use crate::writer::{self, QueueLimits};

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(in crate::cli) struct LimitFlags {
    /// Largest body of a request; a larger one is answered 413
    ///
    /// Too low: a class's batches are refused. Too high: few large requests fill --queue-bytes.
    #[arg(long, env = "RELAY_MAX_BODY", value_name = "SIZE", default_value = "8MiB",
          value_parser = at_least(Size(1024)))]
    max_body: Size,
    /// Most events in a request; more are answered 413
    ///
    /// Too low: clients that collect events while they are offline are refused. Too high: one
    /// request keeps the others' events waiting for longer.
    #[arg(long, env = "RELAY_MAX_BATCH", value_name = "N", default_value = "1000",
          value_parser = at_least(1_usize))]
    max_batch: usize,
    /// Longest code, errorMessage or result; a longer one is cut, and named in the event's
    /// `truncated`
    ///
    /// Too low: instructors see the beginning of a result only. Too high: one event fills a frame
    /// that slow dashboards take long to receive.
    #[arg(long, env = "RELAY_MAX_FIELD", value_name = "SIZE", default_value = "2MiB",
          value_parser = at_least(Size(64)))]
    max_field: Size,
    /// Most events that wait to be written; beyond it a POST is answered 503 at once
    ///
    /// Too low: a burst of a class is refused. Too high: under overload events wait longer before
    /// clients are told to come back.
    #[arg(long, env = "RELAY_QUEUE_ROWS", value_name = "N", default_value = "30000",
          value_parser = at_least(1_usize))]
    queue_rows: usize,
    /// Most bytes of events that wait to be written, and as many of large bodies that are just
    /// arriving; beyond it a POST is answered 503
    ///
    /// Too low: a burst of large results is refused. Too high: the relay needs up to twice as much
    /// memory while the database is away.
    #[arg(long, env = "RELAY_QUEUE_BYTES", value_name = "SIZE", default_value = "128MiB",
          value_parser = at_least(Size(1024)))]
    queue_bytes: Size,
    /// How long a POST waits for its commit before it is answered 503
    ///
    /// Too low: a failover that would have been over in time is answered 503. Too high: clients
    /// give up first, and never learn that they should send the events again.
    #[arg(long, env = "RELAY_COMMIT_TIMEOUT", value_name = "TIME", default_value = "6s",
          value_parser = parse_positive_duration)]
    commit_timeout: Duration,
    /// Newest events kept in memory, all classes together; subscribers further behind read the
    /// table
    ///
    /// Too low: dashboards that come back read the table. Too high: memory without a gain.
    #[arg(long, env = "RELAY_LOG_MEMORY", value_name = "SIZE", default_value = "64MiB")]
    log_memory: Size,
    /// Most bytes of large answers that are being sent, all together; beyond it one is answered 503
    ///
    /// Too low: dashboards of large classes load one after the other. Too high: slow readers hold
    /// that much memory.
    #[arg(long, env = "RELAY_ANSWER_BYTES", value_name = "SIZE", default_value = "64MiB",
          value_parser = at_least(Size(1 << 20)))]
    answer_bytes: Size,
    /// How long a request's body may take to arrive; a later one is answered 408
    ///
    /// Too low: clients on slow networks cannot send. Too high: a client that stalls keeps its
    /// connection for as long.
    #[arg(long, env = "RELAY_REQUEST_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = parse_positive_duration)]
    request_timeout: Duration,
    /// Most connections at once, dashboards included
    ///
    /// Too low: dashboards are turned away with close code 1013. Too high: the limit of open files
    /// is met first.
    #[arg(long, env = "RELAY_MAX_CONNECTIONS", value_name = "N", default_value = "20000",
          value_parser = at_least(1_usize))]
    max_connections: usize,
    /// Most connections at once from one address [default: as --max-connections; a proxy is one
    /// address]
    ///
    /// Too low: a room behind one address cannot connect. Too high: one machine may take every
    /// connection.
    #[arg(long, env = "RELAY_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N",
          value_parser = at_least(1_usize))]
    max_connections_per_address: Option<usize>,
}

impl LimitFlags {
    /// The bounds of requests and connections.
    pub(in crate::cli) fn http(&self, origins: OriginPolicy, edge: Edge) -> Config {
        let connections = self.max_connections;
        Config {
            limits: RequestLimits {
                max_body: self.max_body.0,
                events: event::Limits { max_batch: self.max_batch, max_field: self.max_field.0 },
                request_timeout: self.request_timeout,
            },
            connections,
            connections_per_address: self.max_connections_per_address.unwrap_or(connections),
            answer_bytes: self.answer_bytes.0,
            origins,
            edge,
        }
    }

    /// The bounds of the writer.
    pub(in crate::cli) fn writer(&self) -> writer::Config {
        writer::Config {
            queue: QueueLimits { rows: self.queue_rows, bytes: self.queue_bytes.0 },
            commit_timeout: self.commit_timeout,
        }
    }

    /// The bytes of the log in memory.
    pub(in crate::cli) fn log_memory(&self) -> usize {
        self.log_memory.0
    }
}
