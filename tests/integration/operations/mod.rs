//! Operation: outages, failovers, restarts, and the relay's load on its database.

// The audit: what is recorded, who may read it, how long it is kept.
mod audit;
// The checker finds every fault that is put into a recorded history, and none in a clean one.
mod checker;
// The checker finds real faults in a real run, for instance a relay without the ordering lock.
mod checker_live;
// More connections than the limit: the refusals end when the connections go.
mod crowd;
// SIGTERM: requests are finished, subscribers are sent elsewhere, and the process ends in time.
mod drain;
// A role, a database or a server with few connections.
mod few_connections;
// Connections, relays and the database fail under load.
mod faults;
// PostgreSQL itself fails: it is killed, restarted, full or read-only.
pub mod faults_database;
// The primary changes: failovers, split brains, synchronous standbys.
pub mod faults_failover;
// Connections, processes and hosts vanish without closing anything.
pub mod faults_network;
// The primary of a Patroni cluster changes, behind a URL of all hosts and behind HAProxy.
pub mod faults_patroni;
// The hosts of a URL: those that cannot serve are passed over, and errors name each of them.
mod hosts;
// `/metrics`: described in docs/metrics.md, accepted by promtool, and each metric moves.
mod metrics;
// The database is away for longer than the pauses between the clients' first retries.
mod outage;
// An outage writes few lines into the log, however many requests wait for its end.
mod outage_log;
// PgBouncer in each mode, for each URL.
mod poolers;
// A role with the privileges of a relay and no others: what it can do, and what it cannot.
mod privileges;
// The statements of a relay at work need every grant of the list, and no other.
mod privileges_needed;
// Reads use the intended index, even on a large table that was never analysed.
mod plans;
// The database's load from reading: abandoned requests, answers that end early, a full server.
mod reading;
// The lock of the migrations, and a role that need not migrate.
mod migrations;
// Servers that do not tell the timeline of their WAL, and timelines whose numbers recur.
mod restricted;
// Settings that a role has for other applications change nothing.
mod role_settings;
// Several installations in one database, each in a schema.
mod schemas;
// The start of a relay: what it answers before the database does, and when it gives up.
mod start;
// TLS to PostgreSQL: a relay works on a server that accepts nothing else, and takes up new
// certificates.
mod tls;
// TLS to PostgreSQL: the names of certificates count as for psql.
mod tls_names;
// TLS to PostgreSQL: each connection is accepted or refused as psql's is.
mod tls_table;
