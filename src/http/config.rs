//! What requests and connections may take, validated.

use super::{Access, Limits};

/// Bounds and rules of the HTTP side.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bounds on one request.
    pub limits: Limits,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub connections_per_address: usize,
    /// Bytes of large answers that are being sent.
    pub answer_bytes: usize,
    /// Which hosts and origins may read.
    pub access: Access,
}
