//! The flags that say which database, for every command that needs one.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Database, Urls, default_data_dir};
use crate::embedded::{Durability, Options};
use crate::error::Failure;

/// Which database.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE; may lead through a pooler if --listen-url does not.
    /// Without it, a private PostgreSQL in --data-dir
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// The same database directly, past any pooler: for the listener, the tail, the writer and migrations
    /// [default: --database-url]
    #[arg(long, env = "RELAY_LISTEN_URL", value_name = "URL", hide_env_values = true)]
    pub listen_url: Option<String>,
    /// Folder of the private PostgreSQL [default: $XDG_DATA_HOME/progress-relay; of root: /var/lib/progress-relay]
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
            (Some(url), listen, _) => {
                Urls::parse(url, listen.as_deref()).map(|urls| Database::External(Box::new(urls)))
            }
            (None, Some(_), _) => {
                Err(Failure::usage("--listen-url is of no use without --database-url (DATABASE_URL)"))
            }
            (None, None, Some(folder)) => Ok(Database::Private(folder.clone())),
            (None, None, None) => default_data_dir().map(Database::Private),
        }
    }
}

/// How the private PostgreSQL in `folder` runs.
pub(super) fn private_options(folder: PathBuf) -> Options {
    Options { data_dir: folder, durability: Durability::Durable, settings: Vec::new() }
}
