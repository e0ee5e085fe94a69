//! Subscribers: from a request to a session.
//!
//! - `opening`: where a subscriber starts, or why it may not
//! - `websocket`, `sse`: the two ways to subscribe, from the request to the end
//! - `socket`: a WebSocket under a session
//! - `session`: one subscriber's cursor over the log; it knows a stream and a sink, and no socket

mod opening;
pub(super) mod session;
mod socket;
pub(super) mod sse;
pub(super) mod websocket;
