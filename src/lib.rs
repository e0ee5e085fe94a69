//! progress
pub mod backoff;
pub mod cli;
pub mod config;
pub mod embedded;
pub mod error;
pub mod event;
pub mod http;
pub mod listener;
pub mod log;
pub mod migrate;
pub mod state;
pub mod store;
pub mod tail;
pub mod writer;
