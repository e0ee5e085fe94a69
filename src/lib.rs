//! progress
pub mod backoff;
pub mod cli;
pub mod embedded;
pub mod error;
pub mod event;
pub mod http;
pub mod log;
pub mod migrate;
pub mod store;
pub mod writer;
