//! HTTP: the relay's requests and answers. Only this folder and `client` know warp, hyper and
//! sockets.
//!
//! - `server`: the accept loop, timeouts, the drain
//! - `gate`: every check before a handler, made once, in one order
//! - `router`: one table, which path and method lead to which handler; `policy`: behind which
//!   checks, for whom; `dispatch`: carries the table out
//! - `base_path`: the path below which the routes lie; `security_headers`: what a browser is told
//!   about every answer
//! - `ingest`: events in; `subscribe`: WebSockets and Server-Sent Events; `api`: reading, and what
//!   instructors do; `dashboard`: the page's files; `sign_in`: how a browser signs in; `health`,
//!   `metrics`: for operators
//! - `measures`: the metrics of requests and subscribers
//! - `config`: bounds and rules, validated; `context`: the parts of the relay that handlers use;
//!   `request`, `query`: the handlers' inputs; `representation`, `problem`, `budget`: the handlers'
//!   answers
//! - `testing`: what the fuzzer needs

mod api;
mod audit;
mod base_path;
mod budget;
mod config;
mod context;
mod dashboard;
mod dispatch;
mod gate;
mod health;
mod ingest;
mod measures;
mod metrics;
mod one_script;
mod policy;
mod problem;
mod query;
mod representation;
mod request;
mod router;
mod security_headers;
mod server;
mod sign_in;
mod subscribe;
pub(crate) mod testing;

pub(crate) use base_path::BasePath;
pub(crate) use budget::AnswerBudget;
pub(crate) use config::{Config, Edge};
pub(crate) use context::{Relay, RequestLimits, StartProgress};
pub(crate) use gate::client::TrustedProxies;
pub(crate) use gate::connections::ConnectionLimiter;
pub(crate) use gate::network::Network;
pub(crate) use gate::origin::OriginPolicy;
pub(crate) use gate::proxied::UserHeaders;
pub(crate) use gate::rates::{Rate, RateConfig, Rates};
pub(crate) use gate::{Gate, ProxyRules};
pub(crate) use ingest::body::BodyBudget;
pub(crate) use measures::HttpMetrics;
pub(crate) use request::Door;
pub(crate) use security_headers::SecurityHeaders;
pub(crate) use server::drain::Drain;
pub(crate) use server::tls::{Tls, TlsFiles};
pub(crate) use server::{Entrance, serve};
