//! Relays students' JupyterLab progress events through PostgreSQL to every instructor's dashboard.
//!
//! The table is the log, NOTIFY is the doorbell, a subscriber is a cursor. ARCHITECTURE.md follows
//! an event, a subscriber and a class's state through the code. This is the map:
//!
//! - [`cli`]: the commands and their flags; [`relay`]: one running replica, its start and its stop
//! - `doctor`: tries a deployment
//! - [`http`]: requests, WebSockets, Server-Sent Events; [`client`]: the other side of the wire
//! - `housekeeping`: the work of the one elected replica
//! - [`listener`]: hears the doorbell; [`tail`]: reads new events, once a replica; [`prober`]:
//!   looks where new connections lead; [`agreement`]: whether all parts are on one server
//! - [`access`]: who calls, and what a caller may do
//! - [`writer`]: group commit of POSTed events; [`log`]: the newest events in memory;
//!   [`state`]: the state that a class's events fold to; [`rejections`]: counts rejected events;
//!   [`audit`]: records who did what
//! - [`database`]: connections, statements, the meaning of errors; [`migrate`]: applies sql/;
//!   [`embedded`]: the private PostgreSQL
//! - [`event`]: events, classes, cursors; input is checked here, once
//! - [`backoff`], `background`, `cryptography`, `encoding`, [`error`], [`metrics`], [`repeated`],
//!   `supervisor`: leaves, below everything
//! - `testing`: what the fuzzer needs

pub(crate) mod access;
pub(crate) mod agreement;
pub(crate) mod audit;
pub(crate) mod background;
pub(crate) mod backoff;
pub mod cli;
pub mod client;
pub(crate) mod cryptography;
pub mod database;
pub(crate) mod doctor;
pub mod embedded;
pub(crate) mod encoding;
pub(crate) mod error;
pub mod event;
pub(crate) mod housekeeping;
pub(crate) mod http;
pub(crate) mod listener;
pub(crate) mod log;
pub(crate) mod metrics;
pub mod migrate;
pub(crate) mod prober;
pub(crate) mod rejections;
pub mod relay;
pub(crate) mod repeated;
pub mod state;
pub(crate) mod supervisor;
pub(crate) mod tail;
#[doc(hidden)]
pub mod testing;
pub mod writer;
