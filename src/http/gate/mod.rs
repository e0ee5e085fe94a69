//! The gate: every check that a request passes before its handler, in one place and in one order.
//!
//! The router's table names the checks that a route wants; [`ORDER`] is the order in which they are
//! made. A new check is a variant of [`Check`], a line in `ORDER`, an arm in [`Gate::admit`], and a
//! file of this folder. A check of the caller's identity belongs after `Origin`, since a foreign
//! page must not learn whether a credential is good; a limit of the caller's requests comes last,
//! since it is counted by caller.
//!
//! The gate decides, and the route answers: most routes answer a refusal with a problem, a
//! WebSocket with a close code, Server-Sent Events with a stream that ends.

pub(super) mod connections;
pub(super) mod cors;
pub(super) mod origin;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::connections::{ConnectionLimiter, ConnectionPermit};
use self::origin::OriginPolicy;
use super::problem::Problem;
use super::request::Request;
use super::server::drain::Drain;
use crate::metrics::Registry;

/// How long a client is told to wait when there are too many connections, or the relay goes away.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A check before a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// The connection is within the limits.
    Connections,
    /// The relay is not closing: a request that begins now would be ended at once.
    Draining,
    /// The host is a name of this relay, and the page that asks is the relay's own or allowed.
    Origin,
}

/// All checks, in the order in which they are made: the cheapest first, and none before a check on
/// which it relies.
pub(super) const ORDER: [Check; 3] = [Check::Connections, Check::Draining, Check::Origin];

/// The gate's decision about a request.
#[derive(Debug)]
pub(super) enum Admission {
    /// The handler may answer.
    Admitted,
    /// There are too many connections.
    TooMany,
    /// The relay is going away.
    Draining,
    /// The host or the origin is not allowed.
    Forbidden(Problem),
}

impl Admission {
    /// The refusal as a problem; `None` for a request that is admitted.
    pub(super) fn problem(self) -> Option<Problem> {
        match self {
            Self::Admitted => None,
            Self::TooMany => Some(Problem::unavailable(
                "too-many-connections",
                "the relay has too many connections",
                "try again later, or raise --max-connections",
                RETRY_AFTER,
            )),
            Self::Draining => Some(Problem::unavailable(
                "going-away",
                "the relay is going away",
                "connect again: another relay, or this one once it is back, answers",
                RETRY_AFTER,
            )),
            Self::Forbidden(problem) => Some(problem),
        }
    }
}

/// The state that the checks use.
#[derive(Debug)]
pub(crate) struct Gate {
    connections: Arc<ConnectionLimiter>,
    origins: OriginPolicy,
    drain: Drain,
}

impl Gate {
    /// A gate with these limits and rules, of a relay that goes away by `drain`.
    pub(crate) fn new(
        connections: Arc<ConnectionLimiter>,
        origins: OriginPolicy,
        drain: Drain,
    ) -> Self {
        Self { connections, origins, drain }
    }

    /// Counts a new connection: see [`ConnectionLimiter`].
    pub(super) fn permit(&self, remote: SocketAddr) -> Option<ConnectionPermit> {
        self.connections.permit(remote)
    }

    /// Registers the gate's metrics.
    pub(super) fn register(&self, registry: &mut Registry) {
        let connections = Arc::clone(&self.connections);
        registry.gauge(
            "relay_connections",
            "TCP connections, those of sessions included.",
            move || connections.count() as i64,
        );
    }

    /// Which origins may read.
    pub(super) fn origins(&self) -> &OriginPolicy {
        &self.origins
    }

    /// Makes the checks that `wanted` names; the first that fails decides.
    pub(super) fn admit(&self, wanted: &[Check], request: &Request) -> Admission {
        for check in ORDER.iter().filter(|check| wanted.contains(check)) {
            match check {
                Check::Connections if !request.permit.is_admitted() => return Admission::TooMany,
                Check::Draining if self.drain.is_closed() => return Admission::Draining,
                Check::Origin => {
                    if let Err(problem) = self.origins.check(&request.headers) {
                        return Admission::Forbidden(problem);
                    }
                }
                Check::Connections | Check::Draining => {}
            }
        }
        Admission::Admitted
    }
}
