//! The statements of `progress-relay doctor`, which tries a deployment.
//!
//! They disturb no relay that runs. Each is bounded in time. A transaction is rolled back, or
//! writes nothing but a message to the WAL. A lock is held for the time of one round trip. Through
//! a pooler that gives each transaction another connection, no statement is sent that would leave a
//! setting, a lock or a LISTEN behind.
//!
//! - `ask`: one bounded question, whose rows are read by their columns' names; the kinds of failure
//! - `host`: one host, before anything is set; `pooler`: whether a session keeps its connection
//! - `settings`: the settings of a session and of the server
//! - `schema`: triggers, indexes and the sequence; `epoch`: the epoch, and the place of the log
//! - `trials`: takes the ordering lock, stores an event and undoes it, rings the doorbell, waits
//!   for a standby
//! - `server`: replication, clock, disk, connections, vacuum; `sessions`: transactions and relays

mod ask;
mod epoch;
mod host;
mod pooler;
mod schema;
mod server;
mod sessions;
mod settings;
mod trials;

pub(crate) use ask::Trouble;
pub(crate) use epoch::{LogPlace, log_place};
pub(crate) use host::HostLook;
pub(crate) use pooler::shares_connections;
pub(crate) use schema::{
    IndexRow, SequenceRow, TriggerRow, index_rows, sequence_row, trigger_rows,
};
pub(crate) use server::{
    Connections, Disk, Slot, Standby, Vacuum, clock, connections, disk, slots, standbys,
    synchronous, vacuum,
};
pub(crate) use sessions::{RelaySession, installations, leader, relays, transactions};
pub(crate) use settings::{Effective, apply_relay_settings, effective, role_settings};
pub(crate) use trials::{
    LockTrial, WriteTrial, confirmed_commit, hear_rings, queue_usage, try_lock, try_write,
};
