//! The bounds and rules of the HTTP side, validated.

use super::context::RequestLimits;
use super::gate::origin::OriginPolicy;

/// Bounds and rules of the HTTP side.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Bounds on one request.
    pub limits: RequestLimits,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub connections_per_address: usize,
    /// Bytes of large answers that are being sent.
    pub answer_bytes: usize,
    /// The hosts and origins that may read.
    pub origins: OriginPolicy,
}
