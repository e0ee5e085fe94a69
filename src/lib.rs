//! Relays students' JupyterLab progress events through PostgreSQL to every instructor's dashboard.
//!
//! The table is the log, NOTIFY is the doorbell, a subscriber is a cursor. ARCHITECTURE.md tells
//! the flow; this is the map:
//!
//! - [`event`]: events, classes, cursors; everything from outside is checked here, once
//! - [`writer`]: group commit of what was POSTed
//! - [`listener`]: hears the doorbell; [`tail`]: reads what is new, once per replica; [`log`]:
//!   keeps its newest in memory
//! - [`refusals`]: counts what was rejected, for whoever looks at metrics, the log or the page
//! - [`state`]: what the events of a class come to: kept in memory, with snapshots in the database
//! - [`store`]: connections, statements that read, what errors mean; [`migrate`]: applies sql/
//! - [`embedded`]: the private PostgreSQL
//! - [`http`]: requests, WebSockets, Server-Sent Events
//! - [`client`]: the HTTP and WebSocket client that `tail`, `simulate` and the tests use
//! - [`cli`]: the commands; [`config`]: what `serve` was asked to do; [`error`], [`backoff`],
//!   [`repeated`], [`vital`]: below all; [`metrics`]: counters,
//!   gauges, histograms; `encoding`, `background`: how bodies are tagged and
//!   compressed, and on which threads

mod background;
pub mod backoff;
pub mod cli;
pub mod client;
pub mod config;
pub mod embedded;
mod encoding;
pub mod error;
pub mod event;
pub mod http;
pub mod listener;
pub mod log;
pub mod metrics;
pub mod migrate;
pub mod prober;
pub mod refusals;
pub mod repeated;
pub mod state;
pub mod store;
pub mod tail;
pub mod vital;
pub mod writer;
