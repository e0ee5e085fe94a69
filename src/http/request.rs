//! A request as its handler gets it; the body comes apart from it.

use http::{HeaderMap, Method};
use hyper::upgrade::OnUpgrade;
use warp::path::FullPath;

use super::gate::connections::ConnectionPermit;

/// A request without its body.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) full_path: FullPath,
    /// What stands behind the question mark; empty without one.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// Counts the connection that the request came on.
    pub(super) permit: ConnectionPermit,
    /// Where the connection can become another protocol's.
    pub(super) upgrade: Option<OnUpgrade>,
}

impl Request {
    pub(super) fn path(&self) -> &str {
        self.full_path.as_str()
    }
}
