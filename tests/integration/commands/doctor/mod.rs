//! `progress-relay doctor`: each thing that may be wrong with a deployment is made wrong, and
//! found.

// What the tests share: databases on one durable server, and runs of the command.
mod fixture;
// A deployment that is in order, and one that is in use.
mod healthy;
// Hosts, releases, encodings, TLS, poolers.
mod hosts;
// Running relays.
mod relays;
// Replication.
mod replication;
// Migrations, triggers, indexes, the sequence.
mod schema;
// Clock, disk, connections, vacuum, the other sessions.
mod server;
// Settings of the role, of the server, and the relay's own.
mod settings;
// The table of checks, the document and these tests name the same checks.
mod table;
// The ordering lock, a write, the epoch, the doorbell.
mod trials;
