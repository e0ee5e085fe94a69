//! The flags that say which database, for every command that needs one.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::database::{Connector, Environment, Target};
use crate::error::Failure;
use crate::relay::DatabaseSource;

/// The longest URL that is read from a file. A longer text is no URL.
const LONGEST_URL: u64 = 64 * 1024;

/// Which database.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub(in crate::cli) struct DatabaseFlags {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE, or libpq's NAME=VALUE; may lead
    /// through a pooler if --listen-url does not. Without it, a private PostgreSQL in --data-dir
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// A file that holds the URL, instead of --database-url
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
    /// The same database directly, past any pooler: all parts of the relay and the migrations use
    /// it [default: --database-url]
    #[arg(long, env = "RELAY_LISTEN_URL", value_name = "URL", hide_env_values = true)]
    listen_url: Option<String>,
    /// A file that holds the URL, instead of --listen-url
    #[arg(long, env = "RELAY_LISTEN_URL_FILE", value_name = "FILE")]
    listen_url_file: Option<PathBuf>,
    /// Folder of the private PostgreSQL [default: $XDG_DATA_HOME/progress-relay; of root:
    /// /var/lib/progress-relay]
    #[arg(long, env = "RELAY_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

/// A URL, with the flag that gave it.
struct GivenUrl {
    text: String,
    /// The flag and its variable, for messages.
    flag: &'static str,
}

impl DatabaseFlags {
    /// Where the database is.
    ///
    /// # Errors
    /// Names the flag; never the URL, which may hold a password.
    pub(in crate::cli) fn validate(&self) -> Result<DatabaseSource, Failure> {
        match (self.database()?, self.listen()?, &self.data_dir) {
            (Some(database), listen, _) => external(&database, listen.as_ref()),
            (None, Some(listen), _) => Err(Failure::usage(format!(
                "{} is of no use without --database-url (DATABASE_URL)",
                listen.flag
            ))),
            (None, None, Some(folder)) => Ok(DatabaseSource::Private(folder.clone())),
            (None, None, None) => default_data_dir().map(DatabaseSource::Private),
        }
    }

    /// The database by the first URL, if another URL leads to it directly.
    ///
    /// # Errors
    /// As [`DatabaseFlags::validate`].
    pub(in crate::cli) fn pooled(&self) -> Result<Option<Connector>, Failure> {
        let (Some(database), Some(_)) = (self.database()?, self.listen()?) else {
            return Ok(None);
        };
        let target = parse(&database, &Environment::of_process())?;
        Connector::to(&target).map(Some).map_err(|error| wrong(&database, &error))
    }

    /// The flag whose database all parts of the relay use.
    pub(in crate::cli) fn direct_flag(&self) -> &'static str {
        let is_listen = self.listen_url.is_some() || self.listen_url_file.is_some();
        let is_database = self.database_url.is_some() || self.database_url_file.is_some();
        match (is_listen, is_database) {
            (true, _) => "--listen-url",
            (false, true) => "--database-url",
            (false, false) => "--data-dir",
        }
    }

    fn database(&self) -> Result<Option<GivenUrl>, Failure> {
        given(
            ("--database-url (DATABASE_URL)", self.database_url.as_deref()),
            ("--database-url-file (DATABASE_URL_FILE)", self.database_url_file.as_deref()),
        )
    }

    fn listen(&self) -> Result<Option<GivenUrl>, Failure> {
        given(
            ("--listen-url (RELAY_LISTEN_URL)", self.listen_url.as_deref()),
            ("--listen-url-file (RELAY_LISTEN_URL_FILE)", self.listen_url_file.as_deref()),
        )
    }
}

/// The URL that one of the two flags gives, if one does.
fn given(
    direct: (&'static str, Option<&str>),
    in_file: (&'static str, Option<&Path>),
) -> Result<Option<GivenUrl>, Failure> {
    let (text, flag) = match (direct, in_file) {
        ((flag, Some(_)), (other, Some(_))) => {
            let message = format!("{flag} and {other} are both set: remove one of them");
            return Err(Failure::usage(message));
        }
        ((flag, Some(text)), _) => (text.to_owned(), flag),
        (_, (flag, Some(file))) => (read_url(flag, file)?, flag),
        _ => return Ok(None),
    };
    Ok(Some(GivenUrl { text, flag }))
}

/// The URL that a file holds. A line break at its end does not count, nor does the mark by which
/// editors of Windows begin a file in UTF-8.
fn read_url(flag: &str, file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    File::open(file)
        .and_then(|open| open.take(LONGEST_URL).read_to_string(&mut text))
        .map_err(|error| Failure::usage(format!("{flag}: {}: {error}", file.display())))?;
    Ok(text.trim_start_matches('\u{feff}').trim().to_owned())
}

/// Reads the two URLs. Without a direct one, the first serves for everything. With one, the first
/// is only checked: no part reads through a pooler yet.
fn external(database: &GivenUrl, listen: Option<&GivenUrl>) -> Result<DatabaseSource, Failure> {
    let environment = Environment::of_process();
    let first = parse(database, &environment)?;
    let (direct, target) = match listen {
        Some(listen) => (listen, parse(listen, &environment)?),
        None => (database, first.clone()),
    };
    if target.is_pooled() {
        return Err(Failure::usage(format!(
            "{}: pgbouncer=true says that the URL leads through a pooler, but the relay needs a \
             direct connection to PostgreSQL; give its URL as --listen-url (RELAY_LISTEN_URL), or \
             remove pgbouncer=true if no pooler is in between",
            direct.flag
        )));
    }
    if target.schema() != first.schema() {
        return Err(Failure::usage(format!(
            "{} and {} name different schemas: write the same schema= in both",
            database.flag, direct.flag
        )));
    }
    let mut warnings = [first.warnings(), target.warnings()].concat();
    warnings.dedup();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let connector = Connector::to(&target).map_err(|error| wrong(direct, &error))?;
    Ok(DatabaseSource::External(Box::new(connector)))
}

fn parse(url: &GivenUrl, environment: &Environment) -> Result<Target, Failure> {
    Target::parse(&url.text, environment).map_err(|error| wrong(url, &error))
}

fn wrong(url: &GivenUrl, error: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("{} cannot be used: {error}", url.flag))
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
