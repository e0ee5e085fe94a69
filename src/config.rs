//! What `serve` was asked to do, checked once: what exists here can be used as it is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Failure;
use crate::http::{Limits, OriginPolicy};
use crate::store::Connector;
use crate::writer::QueueLimits;

/// Where the database is.
#[derive(Debug, Clone)]
pub enum Database {
    /// Someone runs it: reached directly, past any pooler.
    External(Box<Connector>),
    /// The relay runs it, in this folder.
    Private(PathBuf),
}

/// All of `serve`'s flags, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub bind: SocketAddr,
    /// Where the database is.
    pub database: Database,
    /// Whether migrations are applied at the start, rather than only checked.
    pub migrate: bool,
    /// How long a database that is away at the start is waited for; `None` for ever.
    pub start_patience: Option<Duration>,
    /// Bounds on requests and connections.
    pub limits: Limits,
    /// Connections at once, and from one address.
    pub connections: (usize, usize),
    /// Bounds on what waits to be written.
    pub queue: QueueLimits,
    /// Bytes of the log in memory.
    pub log_memory: usize,
    /// Bytes of large answers that are being sent.
    pub answer_bytes: usize,
    /// Who may read.
    pub origins: OriginPolicy,
    /// From the first SIGTERM to the end of accepting.
    pub drain_delay: Duration,
    /// From the end of accepting to the end.
    pub drain: Duration,
}

impl Database {
    /// Reads the two URLs; without a direct one, the first serves for everything. With one, the
    /// first is only checked: nothing yet reads by way of a pooler.
    ///
    /// # Errors
    /// Names the flag; never the URL, which may hold a password.
    pub fn external(database_url: &str, listen_url: Option<&str>) -> Result<Self, Failure> {
        let read = |flag: &str, url: &str| {
            Connector::parse(url).map_err(|error| {
                Failure::usage(format!(
                    "{flag} cannot be used: {error}; write it as \
                         postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                ))
            })
        };
        let database = read("--database-url (DATABASE_URL)", database_url)?;
        let direct = match listen_url {
            Some(url) => read("--listen-url (RELAY_LISTEN_URL)", url)?,
            None => database,
        };
        Ok(Self::External(Box::new(direct)))
    }
}

/// A folder for the private database, if none was named: `$XDG_DATA_HOME/progress-relay`; root's is
/// in `/var/lib`.
///
/// # Errors
/// If there is no home to put it in.
pub fn default_data_dir() -> Result<PathBuf, Failure> {
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
                "there is neither XDG_DATA_HOME nor HOME to put the database in: name \
                 a folder with --data-dir",
            )
        })
}

/// The least a value may be.
///
/// # Errors
/// Names the flag and the value.
pub fn at_least<T: PartialOrd + std::fmt::Display>(
    flag: &str,
    value: T,
    least: T,
) -> Result<T, Failure> {
    if value >= least {
        return Ok(value);
    }
    Err(Failure::usage(format!("{flag} is {value}: it must be {least} at least")))
}
