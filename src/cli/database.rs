//! The flags that say which database, for every command that needs one.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::config::{Database, default_data_dir};
use crate::embedded::{Durability, Options, PrivatePostgres};
use crate::error::Failure;
use crate::store::Connector;

/// How long a private PostgreSQL that a command started may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Which database.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE; may lead through a pooler if
    /// --listen-url does not. Without it, a private PostgreSQL in --data-dir
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// The same database directly, past any pooler: for the listener, the tail, the writer and
    /// migrations [default: --database-url]
    #[arg(long, env = "RELAY_LISTEN_URL", value_name = "URL", hide_env_values = true)]
    pub listen_url: Option<String>,
    /// Folder of the private PostgreSQL [default: $XDG_DATA_HOME/progress-relay; of root:
    /// /var/lib/progress-relay]
    #[arg(long, env = "RELAY_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

impl DatabaseArgs {
    /// Validates them.
    ///
    /// # Errors
    /// Names the flag at fault.
    pub fn database(&self) -> Result<Database, Failure> {
        match (&self.database_url, &self.listen_url, &self.data_dir) {
            (Some(url), listen, _) => Database::external(url, listen.as_deref()),
            (None, Some(_), _) => Err(Failure::usage(
                "--listen-url is of no use without --database-url (DATABASE_URL)",
            )),
            (None, None, Some(folder)) => Ok(Database::Private(folder.clone())),
            (None, None, None) => default_data_dir().map(Database::Private),
        }
    }
}

/// How the private PostgreSQL in `folder` runs.
pub(super) fn private_options(folder: PathBuf) -> Options {
    Options { data_dir: folder, durability: Durability::Durable, settings: Vec::new() }
}

/// Does a command's work on the database. A private one is used beside the relay that has it, or
/// started for as long as that takes.
///
/// # Errors
/// The work's; or if the private PostgreSQL does not start, or not end.
pub(super) async fn with_database(
    database: Database,
    command: &str,
    work: impl AsyncFnOnce(&Connector) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match database {
        Database::External(connector) => work(&connector).await,
        Database::Private(folder) => {
            let owner = format!("progress-relay {command}, pid {}", std::process::id());
            let private = PrivatePostgres::join_or_start(private_options(folder), &owner).await?;
            let outcome = work(&Connector::new(private.config())).await;
            private.stop(STOP_PATIENCE).await?;
            outcome
        }
    }
}
