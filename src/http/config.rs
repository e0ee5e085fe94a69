//! The bounds and rules of the HTTP side, validated.

use super::base_path::BasePath;
use super::context::RequestLimits;
use super::gate::ProxyRules;
use super::gate::origin::OriginPolicy;
use super::gate::rates::RateConfig;
use super::security_headers::SecurityHeaders;

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
    /// What stands between the relay and its clients.
    pub edge: Edge,
}

/// What stands between the relay and its clients.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    /// The proxies that are trusted.
    pub proxies: ProxyRules,
    /// The limits of rates.
    pub rates: RateConfig,
    /// The path below which the routes lie.
    pub base_path: BasePath,
    /// The headers that protect the page and its data.
    pub security: SecurityHeaders,
}
