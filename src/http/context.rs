//! The parts of a running relay that requests meet, and the bounds on requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::base_path::BasePath;
use super::budget::AnswerBudget;
use super::gate::Gate;
use super::ingest::body::BodyBudget;
use super::measures::HttpMetrics;
use super::security_headers::SecurityHeaders;
use super::server::drain::Drain;
use crate::agreement::Agreement;
use crate::audit::Audit;
use crate::database::Pages;
use crate::event;
use crate::listener::Listener;
use crate::log::Log;
use crate::metrics::Registry;
use crate::rejections::Rejections;
use crate::state::Classes;
use crate::tail::Tail;
use crate::writer::Writer;

/// Bounds on requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestLimits {
    /// Bytes of a request's body.
    pub max_body: usize,
    /// Bounds on a request's events.
    pub events: event::Limits,
    /// How long a request's body may take to arrive.
    pub request_timeout: Duration,
}

/// The parts of a running relay that requests meet.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Admits requests.
    pub gate: Gate,
    /// The path below which the routes lie.
    pub base_path: BasePath,
    /// Whether operators have a listener of their own.
    pub has_admin_door: bool,
    /// The headers that protect the page and its data.
    pub security: SecurityHeaders,
    /// Stores events.
    pub writer: Writer,
    /// Follows the table.
    pub tail: Tail,
    /// The newest events that the tail read.
    pub log: Arc<Log>,
    /// The state of the classes in use.
    pub classes: Classes,
    /// Reads events that are older than the log in memory.
    pub pages: Pages,
    /// Listens for the doorbell.
    pub listener: Listener,
    /// Knows whether all connections lead to one server.
    pub agreement: Agreement,
    /// How far the start has come.
    pub start: StartProgress,
    /// Counts the events that ingest rejects.
    pub rejections: Rejections,
    /// Records who did what.
    pub audit: Audit,
    /// Bounds what large bodies take up.
    pub bodies: BodyBudget,
    /// Bounds what large answers take up.
    pub answers: AnswerBudget,
    /// Bounds on requests.
    pub limits: RequestLimits,
    /// How the relay goes away.
    pub drain: Drain,
    /// The metrics of requests and subscribers.
    pub metrics: HttpMetrics,
    /// All metrics, once [`Relay::register_metrics`] has registered them.
    pub registry: Registry,
}

impl Relay {
    /// Every part registers its metrics, once, in the order in which /metrics lists them.
    pub(crate) fn register_metrics(&mut self) {
        let registry = &mut self.registry;
        self.gate.register(registry);
        self.drain.register(registry);
        self.metrics.register(registry);
        self.rejections.register(registry);
        self.audit.register(registry);
        self.writer.register(registry);
        self.tail.register(registry);
        self.log.register(registry);
        self.classes.register(registry);
        self.listener.register(registry);
        self.agreement.register(registry);
        crate::backoff::register_reconnects(registry);
        registry.gauge("relay_tasks", "Tasks of the runtime.", || {
            tokio::runtime::Handle::current().metrics().num_alive_tasks() as i64
        });
    }

    /// Whether every part works now.
    pub(crate) fn works(&self) -> bool {
        self.writer.trouble().is_none()
            && self.tail.away_since().is_none()
            && self.listener.status().unproven.is_none()
    }
}

/// How far the start of the relay has come. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct StartProgress {
    /// The part that the start waits for; `None` once every part has worked.
    waits_for: Arc<Mutex<Option<String>>>,
}

impl Default for StartProgress {
    fn default() -> Self {
        Self { waits_for: Arc::new(Mutex::new(Some("the relay is starting".to_owned()))) }
    }
}

impl StartProgress {
    /// The start waits for this.
    pub(crate) fn note(&self, waits_for: &str) {
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = Some(waits_for.to_owned());
    }

    /// Every part has worked once.
    pub(crate) fn done(&self) {
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn waits_for(&self) -> Option<String> {
        self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
