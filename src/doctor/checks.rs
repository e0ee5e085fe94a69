//! The table of every check. docs/doctor.md describes each, and a test compares the two; another
//! has a test for each that makes it wrong.

/// What a check is about, by which it is known whether it can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The hosts of each URL.
    Host,
    /// The URL that all parts of a relay use, and the database behind it.
    Direct,
    /// The URLs together.
    Deployment,
    /// A running relay.
    Relay,
}

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    HostReached,
    HostRelease,
    HostEncoding,
    HostPrimary,
    Tls,
    Pooler,
    SameDatabase,
    SettingsRelay,
    SettingsRole,
    SettingsLog,
    SettingsDurability,
    Migrations,
    Privileges,
    Triggers,
    Indexes,
    Sequence,
    Write,
    Lock,
    Epoch,
    Listen,
    ListenQueue,
    Confirmed,
    Standbys,
    Slots,
    Clock,
    Disk,
    Connections,
    Vacuum,
    Transactions,
    Replicas,
    RelayReached,
    RelayReady,
    RelayRelease,
    RelayEpoch,
    RelayClock,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// The check.
    pub(crate) check: Check,
    /// Its name, which does not change from one release to the next.
    pub(crate) id: &'static str,
    /// What it is about.
    pub(crate) scope: Scope,
    /// What it tries.
    pub(crate) tries: &'static str,
}

const fn row(check: Check, id: &'static str, scope: Scope, tries: &'static str) -> Row {
    Row { check, id, scope, tries }
}

/// Every check, in the order in which findings are printed.
pub(crate) const CHECKS: &[Row] = &[
    row(Check::HostReached, "host.reached", Scope::Host, "connects to every host of the URL"),
    row(Check::HostRelease, "host.release", Scope::Host, "compares the server's release"),
    row(Check::HostEncoding, "host.encoding", Scope::Host, "compares the database's encoding"),
    row(Check::HostPrimary, "host.primary", Scope::Host, "looks for exactly one primary"),
    row(Check::Tls, "tls", Scope::Host, "asks the server whether the connection is encrypted"),
    row(Check::Pooler, "pooler", Scope::Host, "looks whether two sessions share connections"),
    row(Check::SameDatabase, "url.same", Scope::Deployment, "compares the databases of both URLs"),
    row(Check::SettingsRelay, "settings.relay", Scope::Direct, "makes the relay's own settings"),
    row(Check::SettingsRole, "settings.role", Scope::Direct, "looks for settings of the role"),
    row(Check::SettingsLog, "settings.log", Scope::Direct, "looks what the server would log"),
    row(
        Check::SettingsDurability,
        "settings.durability",
        Scope::Direct,
        "looks whether a commit is on the disk",
    ),
    row(Check::Migrations, "migrations", Scope::Direct, "compares the migrations"),
    row(
        Check::Privileges,
        "privileges",
        Scope::Direct,
        "compares the role's rights with the needed",
    ),
    row(Check::Triggers, "triggers", Scope::Direct, "looks for each trigger, and when it fires"),
    row(Check::Indexes, "indexes", Scope::Direct, "looks for each index, and whether it is valid"),
    row(Check::Sequence, "sequence", Scope::Direct, "compares the sequence of ids with the table"),
    row(Check::Lock, "lock", Scope::Direct, "takes the ordering lock, and releases it"),
    row(Check::Write, "write", Scope::Direct, "stores an event, and undoes it"),
    row(Check::Epoch, "epoch", Scope::Direct, "computes the epoch, and compares the log's place"),
    row(Check::Listen, "listen", Scope::Direct, "listens on one session and rings from another"),
    row(
        Check::ListenQueue,
        "listen.queue",
        Scope::Direct,
        "has the queue of notifications emptied",
    ),
    row(
        Check::Confirmed,
        "replication.confirmed",
        Scope::Direct,
        "commits, and waits until a synchronous standby confirms",
    ),
    row(Check::Standbys, "replication.standbys", Scope::Direct, "measures how late standbys are"),
    row(Check::Slots, "replication.slots", Scope::Direct, "measures the WAL that slots hold back"),
    row(Check::Clock, "clock", Scope::Direct, "compares the database's clock with this machine's"),
    row(Check::Disk, "disk", Scope::Direct, "measures the free space, where it is visible"),
    row(Check::Connections, "connections", Scope::Direct, "counts the connections that are left"),
    row(Check::Vacuum, "vacuum", Scope::Direct, "looks at autovacuum and the age of transactions"),
    row(Check::Transactions, "transactions", Scope::Direct, "looks for transactions left open"),
    row(Check::Replicas, "replicas", Scope::Direct, "looks for the relays, and for the leader"),
    row(Check::RelayReached, "relay.reached", Scope::Relay, "asks a relay whether it lives"),
    row(Check::RelayReady, "relay.ready", Scope::Relay, "asks it whether it is ready"),
    row(Check::RelayRelease, "relay.release", Scope::Relay, "compares its release"),
    row(Check::RelayEpoch, "relay.epoch", Scope::Relay, "subscribes, and compares the epoch"),
    row(Check::RelayClock, "relay.clock", Scope::Relay, "compares its clock with this machine's"),
];

impl Check {
    /// The check's row of the table.
    pub(crate) fn row(self) -> &'static Row {
        CHECKS.iter().find(|row| row.check == self).unwrap_or(&CHECKS[0])
    }

    /// The name of the check.
    pub(crate) fn id(self) -> &'static str {
        self.row().id
    }
}
