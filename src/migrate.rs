//! Applies the migrations of sql/: numbered files, which are embedded in the binary. Each is
//! applied once, under a lock.
//!
//! A file begins with `-- oldest-release: X.Y.Z`: the oldest release of the relay that can work
//! with the database once the file is applied. Only older binaries are refused, so that replicas
//! can be upgraded one by one. A file with a line `-- no-transaction` is applied outside of a
//! transaction, one statement at a time.

mod lock;

use tokio_postgres::{Client, Error};

use crate::database::{self, ConnectError, Connector, PrivilegeError};

/// One file of sql/.
#[derive(Debug)]
pub struct Migration {
    /// Its number; the first is 1, and there are no gaps.
    pub version: i32,
    /// Its file's name.
    pub name: &'static str,
    sql: &'static str,
}

/// Every file of sql/, in order.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "0001_progress_event",
        sql: include_str!("../sql/0001_progress_event.sql"),
    },
    Migration { version: 2, name: "0002_state", sql: include_str!("../sql/0002_state.sql") },
    Migration { version: 3, name: "0003_cheaper", sql: include_str!("../sql/0003_cheaper.sql") },
    Migration { version: 4, name: "0004_truth", sql: include_str!("../sql/0004_truth.sql") },
    Migration { version: 5, name: "0005_refused", sql: include_str!("../sql/0005_refused.sql") },
    Migration { version: 6, name: "0006_schema", sql: include_str!("../sql/0006_schema.sql") },
    Migration { version: 7, name: "0007_sign_in", sql: include_str!("../sql/0007_sign_in.sql") },
    Migration { version: 8, name: "0008_audit", sql: include_str!("../sql/0008_audit.sql") },
    Migration { version: 9, name: "0009_sign_out", sql: include_str!("../sql/0009_sign_out.sql") },
    Migration { version: 10, name: "0010_lessons", sql: include_str!("../sql/0010_lessons.sql") },
    Migration {
        version: 11,
        name: "0011_help_message",
        sql: include_str!("../sql/0011_help_message.sql"),
    },
];

/// This binary's release.
pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// Why the database's migrations are not as this binary needs them.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The relay's role lacks privileges.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// A statement of the migration failed.
    #[error("applying {name}: {reason}; nothing of it was kept")]
    Apply {
        /// The name of the file.
        name: &'static str,
        /// The database's error.
        reason: String,
        /// Whether another attempt may succeed: the connection was lost, or the server was
        /// read-only.
        transient: bool,
    },
    /// A statement around the migrations failed.
    #[error("while looking at the migrations: {}", database::explain(.0))]
    Database(Error),
    /// The database was migrated by a newer release that this one cannot work with.
    #[error(
        "the database is too new: its migration {version} ({name}) needs progress-relay {oldest} \
         or newer, this is {RELEASE}; start a newer release"
    )]
    TooNew {
        /// The migration's number.
        version: i32,
        /// Its file's name.
        name: String,
        /// The oldest release that can work with it.
        oldest: String,
    },
    /// A migration is missing, and this start does not apply migrations (`--no-migrate`).
    #[error(
        "the database lacks migration {0}; run `progress-relay migrate` as the owner of the \
         tables, or start `serve` without --no-migrate as that role"
    )]
    Missing(&'static str),
    /// The role may use no schema to create the tables in.
    #[error(
        "there is no schema for the relay's tables that the role may use: CREATE SCHEMA \
         AUTHORIZATION CURRENT_USER, or name one in the connection string (schema=…) and GRANT \
         USAGE, CREATE ON SCHEMA … to the role"
    )]
    NoSchema,
    /// A migration is missing, and the role may not apply it.
    #[error(
        "the database lacks migration {0}, and this role may not apply it: run `progress-relay \
         migrate` as the owner of the tables"
    )]
    NotAllowed(&'static str),
    /// The header of a file in sql/ is wrong, which is a fault of this release.
    #[error("sql/{0}.sql does not begin with `-- oldest-release: X.Y.Z`")]
    Header(&'static str),
}

// #[from] would make the error the source as well, and the message would have its text twice.
impl From<Error> for MigrateError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl MigrateError {
    /// Whether another attempt may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Privileges(error) => error.is_transient(),
            Self::Connect(error) => !error.is_permanent(),
            Self::Database(error) => may_pass(error),
            Self::Apply { transient, .. } => *transient,
            _ => false,
        }
    }
}

/// Whether an error of the database's comes from a server that ends, starts, or changes its role.
fn may_pass(error: &Error) -> bool {
    database::is_connection_lost(error) || database::is_read_only(error)
}

impl Migration {
    fn oldest_release(&self) -> Option<&'static str> {
        let release = self.sql.lines().next()?.strip_prefix("-- oldest-release: ")?.trim();
        numbers(release).map(|_| release)
    }

    fn in_transaction(&self) -> bool {
        !self.sql.lines().any(|line| line.trim() == "-- no-transaction")
    }
}

fn numbers(release: &str) -> Option<[u32; 3]> {
    let core = release.split(['-', '+']).next()?;
    let mut parts = core.split('.').map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Whether the schema has the table of the applied migrations.
async fn has_table(client: &Client) -> Result<bool, MigrateError> {
    const EXISTS: &str = "SELECT to_regclass('relay_migration') IS NOT NULL";
    Ok(client.query_one(EXISTS, &[]).await?.try_get(0)?)
}

/// The migrations that are applied already.
///
/// # Errors
/// [`MigrateError::TooNew`] if this release cannot work with one of them.
async fn applied(client: &Client) -> Result<Vec<i32>, MigrateError> {
    if !has_table(client).await? {
        return Ok(Vec::new());
    }
    let rows = client
        .query("SELECT version, name, oldest_release FROM relay_migration ORDER BY version", &[])
        .await?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in rows {
        let (version, name, oldest): (i32, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if numbers(&oldest) > numbers(RELEASE) {
            return Err(MigrateError::TooNew { version, name, oldest });
        }
        versions.push(version);
    }
    Ok(versions)
}

/// Checks that no migration is missing or too new. It changes nothing.
pub(crate) async fn check(connector: &Connector) -> Result<(), MigrateError> {
    let session = connector.connect("migrate").await?;
    let work = verify(&session.client);
    database::naming_blockers(connector, session.backend_pid, work).await
}

/// The same as [`check`], on an existing connection.
pub(crate) async fn verify(client: &Client) -> Result<(), MigrateError> {
    match missing(client).await?.first() {
        Some(missing) => Err(MigrateError::Missing(missing.name)),
        None => Ok(()),
    }
}

/// The migrations that are not applied yet.
async fn missing(client: &Client) -> Result<Vec<&'static Migration>, MigrateError> {
    let applied = applied(client).await?;
    let is_missing = |migration: &&Migration| !applied.contains(&migration.version);
    Ok(MIGRATIONS.iter().filter(is_missing).collect())
}

/// Applies the missing migrations and returns their names. A second caller waits for the first, and
/// then has nothing to apply. Where nothing is missing, nothing is locked, and the role needs no
/// right to create tables.
pub async fn apply(connector: &Connector) -> Result<Vec<&'static str>, MigrateError> {
    let session = connector.connect("migrate").await?;
    let work = apply_by(&session.client);
    database::naming_blockers(connector, session.backend_pid, work).await
}

/// The same as [`apply`], on an existing connection, which must not outlive the start: it holds the
/// migrations' lock until its end.
pub(crate) async fn apply_by(client: &Client) -> Result<Vec<&'static str>, MigrateError> {
    if missing(client).await?.is_empty() {
        return Ok(Vec::new());
    }
    // Where the role may not use the schema, the next one is that of temporary tables.
    const IS_PERMANENT: &str = "SELECT NOT coalesce(starts_with(current_schema(), 'pg_'), true)";
    let schema = client.query_one(IS_PERMANENT, &[]).await?;
    if !schema.try_get::<_, bool>(0)? {
        return Err(MigrateError::NoSchema);
    }
    // The lock belongs to the session, and is released with it also after an error below.
    lock::acquire(client).await?;
    let missing = missing(client).await?;
    if let Some(first) = missing.first()
        && !database::may_migrate(client).await?
    {
        return Err(MigrateError::NotAllowed(first.name));
    }
    // CREATE TABLE IF NOT EXISTS would ask for the right to create tables in any case.
    if !has_table(client).await? {
        client
            .batch_execute(
                "CREATE TABLE relay_migration (\
                   version int PRIMARY KEY, name text NOT NULL, oldest_release text NOT NULL, \
                   applied_at timestamptz NOT NULL DEFAULT now())",
            )
            .await?;
    }
    let mut done = Vec::new();
    for migration in missing {
        tracing::info!(migration = migration.name, "applying a migration");
        apply_one(client, migration).await?;
        done.push(migration.name);
    }
    Ok(done)
}

async fn apply_one(client: &Client, migration: &'static Migration) -> Result<(), MigrateError> {
    let oldest = migration.oldest_release().ok_or(MigrateError::Header(migration.name))?;
    let failed = |error: Error| MigrateError::Apply {
        name: migration.name,
        reason: database::explain(&error),
        transient: may_pass(&error),
    };
    let transaction = migration.in_transaction();
    if transaction {
        client.batch_execute("BEGIN").await?;
        client.batch_execute(migration.sql).await.map_err(failed)?;
    } else {
        for statement in migration.sql.split(";\n").filter(|statement| !statement.trim().is_empty())
        {
            client.batch_execute(statement).await.map_err(failed)?;
        }
    }
    client
        .execute(
            "INSERT INTO relay_migration (version, name, oldest_release) VALUES ($1, $2, $3)",
            &[&migration.version, &migration.name, &oldest],
        )
        .await
        .map_err(failed)?;
    if transaction {
        client.batch_execute("COMMIT").await.map_err(failed)?;
    }
    Ok(())
}

/// Renews the log's nonce and returns the new epoch. Every earlier cursor is then answered with a
/// reset. This is a step of restoring a backup.
pub(crate) async fn new_epoch(connector: &Connector) -> Result<String, MigrateError> {
    let session = connector.connect("migrate").await?;
    let work = database::renew_nonce(&session, None);
    database::naming_blockers(connector, session.backend_pid, work).await?;
    let row = session.client.query_one("SELECT progress_epoch()", &[]).await?;
    Ok(row.try_get(0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_numbered_and_name_their_oldest_release() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
            let oldest = migration.oldest_release().expect("a header");
            assert!(numbers(oldest) <= numbers(RELEASE));
        }
        let files =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).expect("sql/").count();
        assert_eq!(files, MIGRATIONS.len());
    }

    #[test]
    fn releases_compare_by_number() {
        assert!(numbers("0.10.0") > numbers("0.9.12"));
        assert_eq!(numbers("1.2.3-rc.1"), Some([1, 2, 3]));
        assert_eq!(numbers("1.2"), None);
    }
}
