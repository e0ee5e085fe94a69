//! HTTP: what the relay says and hears. The only place that knows warp, hyper and sockets.
//!
//! - `server`: the accept loop, timeouts, the drain; `gate`: what stands before a handler
//! - `ingest`: events in; `health`, `metrics`: how it is; `problem`: every error; `query`,
//!   `access`: what stands above a request
//! - `subscribe`: from a request to a `session`, which is logic over a stream and a sink; `socket`:
//!   a WebSocket under it, `events`: Server-Sent Events
//! - `api`: what the events of a class come to, read from the state, and what instructors do
//! - `page`: the dashboard's files

mod access;
mod api;
mod events;
mod gate;
mod health;
mod ingest;
mod metrics;
mod page;
mod problem;
mod query;
mod routes;
mod server;
mod session;
mod socket;
mod subscribe;

use std::sync::Arc;
use std::time::Duration;

use crate::event::Limits as EventLimits;
use crate::listener::Listener;
use crate::log::Log;
use crate::refusals::Refusals;
use crate::state::Classes;
use crate::store::{Agreement, Pages};
use crate::tail::Tail;
use crate::writer::Writer;

pub use access::Access;
pub use api::AnswerBudget;
pub use gate::connections::ConnectionLimiter;
pub use health::StartProgress;
pub use ingest::BodyBudget;
pub use server::drain::Drain;
pub use server::serve;

/// Bounds on requests and connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's body.
    pub max_body: usize,
    /// Bounds on a request's events.
    pub events: EventLimits,
    /// How long a request's body may take to arrive.
    pub request_timeout: Duration,
    /// How long a request's events may take to be committed; the writer keeps it, an answer names
    /// it.
    pub commit_timeout: Duration,
}

/// The parts of a running relay that requests meet.
#[derive(Debug)]
pub struct Relay {
    /// Stores events.
    pub writer: Writer,
    /// Follows the table.
    pub tail: Tail,
    /// What the tail read last.
    pub log: Arc<Log>,
    /// What the events of the classes in use come to.
    pub classes: Classes,
    /// What lies before that.
    pub pages: Pages,
    /// Hears the doorbell.
    pub listener: Listener,
    /// Whether all connections lead to one server.
    pub agreement: Agreement,
    /// How far the start has come.
    pub start: StartProgress,
    /// Counts connections.
    pub connections: Arc<ConnectionLimiter>,
    /// Counts what ingest rejects.
    pub refusals: Refusals,
    /// What large bodies may take up.
    pub bodies: BodyBudget,
    /// What large answers may take up.
    pub answers: AnswerBudget,
    /// Who may read.
    pub access: Access,
    /// Bounds.
    pub limits: Limits,
    /// Going away.
    pub drain: Drain,
}

impl Relay {
    fn sources(&self) -> session::Sources {
        session::Sources {
            log: Arc::clone(&self.log),
            pages: self.pages.clone(),
            tail: self.tail.clone(),
            classes: self.classes.clone(),
        }
    }
}
