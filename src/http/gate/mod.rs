//! The gate: what stands between a connection and a handler.

pub(super) mod connections;
