//! HTTP.
pub mod client;
