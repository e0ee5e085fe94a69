//! The relay as its users meet it: real processes, a real PostgreSQL, over the wire.
//!
//! One throw-away PostgreSQL serves the whole run and each test has its own database there, because
//! a notification reaches every schema of its database and no other database. A test that stops or
//! damages PostgreSQL starts another server in its own data folder. Every process ends with the
//! run, however the run ends.

#![allow(unreachable_pub, reason = "no other crate uses a program: `pub` says nothing more")]

// Databases, relays, clients, faults and the checker: everything that the tests share.
mod support;

// Who calls: sources of callers, as real ones.
mod callers;
// The rules for imports between the parts of the code.
mod architecture;
// The dashboard in Chromium.
mod browser;
// The project's own clients, in the programs that students use.
mod clients;
// The size of the code: lines of files and functions, widths, words of doc comments.
mod code_figures;
// The program's commands, as they are typed in a terminal.
mod commands;
// The promise of the relay: every event once, in order, or a reset that announces the gap.
mod delivery;
// The documents name every problem, metric and flag of the code.
mod documents;
// Between the relay and its clients: proxies, TLS, a base path, limits of rates, deploy/.
mod edge;
// The example subscribers, which resume without a gap.
mod examples;
// What an enemy tries.
mod hostile;
// Measurements, which print figures and run only when they are asked for.
mod measure;
// Operation: outages, failovers, restarts, and the relay's load on its database.
mod operations;
// The state of a class: the same on every replica, in the snapshots and at a dashboard.
mod state;
// The formats and rules of the HTTP and WebSocket interfaces.
mod wire;
