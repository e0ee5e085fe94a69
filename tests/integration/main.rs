//! The relay as its users meet it: real processes, a real PostgreSQL, over the wire.
//!
//! One throw-away PostgreSQL serves the whole run, a database a test: notifications cross schemas,
//! not databases. What needs a private PostgreSQL of its own has a data folder of its own. Nothing
//! outlives the run, however it ends.

mod support;

mod api;
mod architecture;
mod browser;
mod captures;
mod checker;
mod checker_live;
mod command_line;
mod cost;
mod cursors;
mod delivery;
mod drain;
mod edges;
mod epochs;
mod faults;
mod faults_database;
mod faults_failover;
mod faults_network;
mod faults_table;
mod ingest;
mod listening;
mod measure;
mod metrics;
mod ordering;
mod outage;
mod plans;
mod reading;
mod slow;
mod snapshots;
mod state;
mod subscribers;
mod tailing;
mod tolerance;
mod truth;
