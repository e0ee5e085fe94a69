//! The server: connections are accepted, timed, and sent elsewhere when the relay drains.
//!
//! - `accept`: the accept loop, and HTTP/1.1 on each connection
//! - `stream`: a connection's bytes, as they are or over TLS; `tls`: the certificate
//! - `timeouts`: how long a peer may take, and when it counts as alive
//! - `drain`: how the relay goes away

mod accept;
pub(super) mod drain;
pub(super) mod stream;
pub(super) mod timeouts;
pub(super) mod tls;

pub(crate) use accept::{Entrance, serve};
