//! Where a subscriber starts, or why it may not.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::session::leave::Leave;
use super::session::messages::Close;
use super::session::start::Start;
use super::session::trim::Trim;
use super::session::{Sources, SubscriberSession, Transport};
use crate::access::Denial;
use crate::event::ClassId;
use crate::http::audit::note_subscription;
use crate::http::context::Relay;
use crate::http::gate::caller::own_student;
use crate::http::gate::{Admission, Admitted};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::server::timeouts::LastActivity;

/// How long a new subscriber waits for the database to say where the log ends: shorter than clients
/// wait for an answer, so that they learn why.
const POSITION_PATIENCE: Duration = Duration::from_secs(3);
/// Most classes in one subscription.
const MAX_CLASSES: usize = 64;

/// A subscription that may begin.
pub(super) struct Opening {
    admitted: Admitted,
    classes: Vec<ClassId>,
    start: Start,
    trim: Option<Trim>,
}

/// Why a subscription may not begin.
pub(super) struct Refusal {
    pub(super) close: Close,
    /// The parameter of the URL that is at fault, if one is.
    pub(super) parameter: Option<&'static str>,
    pub(super) reason: String,
}

impl Refusal {
    fn later(reason: impl Into<String>) -> Self {
        Self { close: Close::TryAgainLater, parameter: None, reason: reason.into() }
    }

    /// The reason begins with a word by which a program can tell the causes apart.
    fn forbidden(problem: &Problem) -> Self {
        let word = match problem.name() {
            "class-not-allowed" => "class",
            "origin-not-allowed" | "host-not-allowed" | "cross-site" => "origin",
            _ => "unauthorized",
        };
        let reason = format!("{word}: {}", problem.detail());
        Self { close: Close::NotAllowed, parameter: None, reason }
    }

    /// The peer has left before it was known who it is.
    pub(super) fn gone(close: Close) -> Self {
        Self { close, parameter: None, reason: String::new() }
    }

    /// It is not known who the peer is.
    pub(super) fn denied(denial: &Denial) -> Self {
        let (close, word) = match denial {
            // The page tells this apart from a relay without room.
            Denial::Unavailable { .. } => {
                return Self::later(format!("sign-in-unavailable: {denial}"));
            }
            Denial::Expired => (Close::Expired, "expired"),
            _ => (Close::Unauthorized, "unauthorized"),
        };
        Self { close, parameter: None, reason: format!("{word}: {denial}") }
    }

    fn bad(parameter: &'static str, reason: impl Into<String>) -> Self {
        Self { close: Close::NotAllowed, parameter: Some(parameter), reason: reason.into() }
    }

    /// The reason of a close frame, with the parameter's name.
    pub(super) fn close_reason(&self) -> String {
        match self.parameter {
            Some(parameter) => format!("{parameter} {}", self.reason),
            None => self.reason.clone(),
        }
    }
}

impl Opening {
    /// Decides where a subscriber starts that asks by `query` and brings `cursor`, or why it may
    /// not begin.
    pub(super) async fn decide(
        relay: &Relay,
        admission: Admission,
        query: &Query<'_>,
        cursor: Option<&str>,
    ) -> Result<Self, Refusal> {
        let admitted = match admission {
            Admission::Admitted(admitted) => admitted,
            Admission::TooMany => return Err(Refusal::later("the relay has too many connections")),
            Admission::Draining => return Err(Refusal::later("the relay is going away")),
            Admission::Limited(problem) => return Err(Refusal::later(problem.title())),
            Admission::Forbidden(problem) => return Err(Refusal::forbidden(&problem)),
            Admission::Denied(denial) => return Err(Refusal::denied(&denial)),
        };
        let classes = query.classes().map_err(|error| Refusal::bad("class", error.to_string()))?;
        if classes.len() > MAX_CLASSES {
            return Err(Refusal::bad("class", format!("names more than {MAX_CLASSES} classes")));
        }
        let own = match &admitted.caller {
            Some(caller) => own_student(caller).map_err(|problem| Refusal::forbidden(&problem))?,
            None => None,
        };
        let trim =
            Trim::parse(query, own).map_err(|wrong| Refusal::bad(wrong.parameter, wrong.reason))?;
        // The position covers every event that any replica acknowledged before this request. It is
        // read before the answer, so that an event POSTed after the answer lies behind it.
        let position = relay.tail.position(POSITION_PATIENCE).await;
        let position = position.map_err(|error| Refusal::later(error.to_string()))?;
        Ok(Self { admitted, classes, start: Start::at(cursor, position), trim })
    }

    /// The same for frames that have `bytes` more around them.
    pub(super) fn with_room_for(self, bytes: usize) -> Self {
        Self { trim: self.trim.map(|trim| trim.with_room_for(bytes)), ..self }
    }

    /// The session that begins so, over `transport`, whose peer's signs of life `activity` has. The
    /// audit records it.
    pub(super) fn session<T: Transport>(
        self,
        relay: &Relay,
        transport: T,
        activity: LastActivity,
        address: IpAddr,
    ) -> SubscriberSession<T> {
        let sources = Sources {
            log: Arc::clone(&relay.log),
            pages: relay.pages.clone(),
            tail: relay.tail.clone(),
            classes: relay.classes.clone(),
            metrics: relay.metrics.clone(),
        };
        let Self { admitted, classes, start, trim } = self;
        note_subscription(&relay.audit, &admitted, address, &classes);
        let leave = Leave::new(&relay.drain, relay.gate.access(), admitted);
        SubscriberSession::new(sources, classes, start, trim, transport, activity, leave)
    }
}
