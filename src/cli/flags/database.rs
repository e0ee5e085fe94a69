//! The flags that say which database, for every command that needs one.

use std::path::PathBuf;

use clap::Args;

use crate::database::Connector;
use crate::error::Failure;
use crate::relay::DatabaseSource;

/// Which database.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub(in crate::cli) struct DatabaseFlags {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE; may lead through a pooler if
    /// --listen-url does not. Without it, a private PostgreSQL in --data-dir
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The same database directly, past any pooler: all parts of the relay and the migrations use
    /// it [default: --database-url]
    #[arg(long, env = "RELAY_LISTEN_URL", value_name = "URL", hide_env_values = true)]
    listen_url: Option<String>,
    /// Folder of the private PostgreSQL [default: $XDG_DATA_HOME/progress-relay; of root:
    /// /var/lib/progress-relay]
    #[arg(long, env = "RELAY_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

impl DatabaseFlags {
    /// Where the database is.
    ///
    /// # Errors
    /// Names the flag; never the URL, which may hold a password.
    pub(in crate::cli) fn validate(&self) -> Result<DatabaseSource, Failure> {
        match (&self.database_url, &self.listen_url, &self.data_dir) {
            (Some(url), listen, _) => external(url, listen.as_deref()),
            (None, Some(_), _) => Err(Failure::usage(
                "--listen-url is of no use without --database-url (DATABASE_URL)",
            )),
            (None, None, Some(folder)) => Ok(DatabaseSource::Private(folder.clone())),
            (None, None, None) => default_data_dir().map(DatabaseSource::Private),
        }
    }

    /// The database by --database-url, if --listen-url leads to it too.
    ///
    /// # Errors
    /// As [`DatabaseFlags::validate`].
    pub(in crate::cli) fn pooled(&self) -> Result<Option<Connector>, Failure> {
        match (&self.database_url, &self.listen_url) {
            (Some(url), Some(_)) => parse("--database-url (DATABASE_URL)", url).map(Some),
            _ => Ok(None),
        }
    }

    /// The flag whose database all parts of the relay use.
    pub(in crate::cli) fn direct_flag(&self) -> &'static str {
        match (&self.database_url, &self.listen_url) {
            (Some(_), Some(_)) => "--listen-url",
            (Some(_), None) => "--database-url",
            (None, _) => "--data-dir",
        }
    }
}

/// Reads the two URLs. Without a direct one, the first serves for everything. With one, the first
/// is only checked: no part reads through a pooler yet.
fn external(database_url: &str, listen_url: Option<&str>) -> Result<DatabaseSource, Failure> {
    let database = parse("--database-url (DATABASE_URL)", database_url)?;
    let direct = match listen_url {
        Some(url) => parse("--listen-url (RELAY_LISTEN_URL)", url)?,
        None => database,
    };
    Ok(DatabaseSource::External(Box::new(direct)))
}

fn parse(flag: &str, url: &str) -> Result<Connector, Failure> {
    Connector::parse(url).map_err(|error| {
        Failure::usage(format!(
            "{flag} cannot be used: {error}; write it as \
             postgres://USER:PASSWORD@HOST:PORT/DATABASE"
        ))
    })
}

/// The folder of the private database when no flag names one: `$XDG_DATA_HOME/progress-relay`;
/// root's is in `/var/lib`.
fn default_data_dir() -> Result<PathBuf, Failure> {
    const NAME: &str = "progress-relay";
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib").join(NAME));
    }
    let folder =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_DATA_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join(NAME))
        .ok_or_else(|| {
            Failure::usage(
                "there is neither XDG_DATA_HOME nor HOME to put the database in: name a folder \
                 with --data-dir",
            )
        })
}
