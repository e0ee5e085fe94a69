//! A request as the handler gets it, without the body.

use std::net::SocketAddr;

use http::{HeaderMap, Method};
use hyper::upgrade::OnUpgrade;

use super::gate::client::Client;
use super::gate::connections::ConnectionPermit;

/// The listener by which a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// For everyone.
    Main,
    /// For operators, in a network that only they reach (`--admin-bind`).
    Admin,
}

/// What the server knows of the connection that a request came on.
#[derive(Debug, Clone)]
pub(super) struct Inbound {
    /// The other end of the TCP connection: a client, or a proxy.
    pub(super) remote: SocketAddr,
    /// Whether the relay itself speaks TLS on it.
    pub(super) is_tls: bool,
    /// The listener that accepted it.
    pub(super) door: Door,
    /// Counts the connection.
    pub(super) permit: ConnectionPermit,
}

/// A request without its body.
pub(super) struct Request {
    pub(super) method: Method,
    /// The path as the client wrote it, the base path included.
    pub(super) full_path: String,
    /// The query string; empty if there is none.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// The listener that it came by.
    pub(super) door: Door,
    /// Who sent it.
    pub(super) client: Client,
    /// Counts the connection that the request came on, and its client.
    pub(super) permit: ConnectionPermit,
    /// Set if the connection can be upgraded to another protocol.
    pub(super) upgrade: Option<OnUpgrade>,
}
