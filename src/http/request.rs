//! A request as the handler gets it, without the body.

use std::net::IpAddr;

use http::{HeaderMap, Method};
use hyper::upgrade::OnUpgrade;
use warp::path::FullPath;

use super::gate::connections::ConnectionPermit;

/// A request without its body.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) full_path: FullPath,
    /// The query string; empty if there is none.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// Counts the connection that the request came on.
    pub(super) permit: ConnectionPermit,
    /// Set if the connection can be upgraded to another protocol.
    pub(super) upgrade: Option<OnUpgrade>,
}

impl Request {
    /// Whether the client came by https, so that a cookie can be kept from connections without
    /// TLS. `X-Forwarded-Proto` is not asked: any client can send it.
    pub(super) fn is_https(&self) -> bool {
        false
    }

    /// The client's address.
    pub(super) fn address(&self) -> IpAddr {
        self.permit.address()
    }

    pub(super) fn path(&self) -> &str {
        self.full_path.as_str()
    }
}
