//! Why there is no private PostgreSQL: what failed, while doing what, and what to do next.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use super::version::Major;
use crate::store::OLDEST_POSTGRES;

/// Why the private PostgreSQL cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The machine has no PostgreSQL server that can be used.
    #[error(
        "no PostgreSQL server (initdb and postgres, version {OLDEST_POSTGRES} or newer) was found \
         on this machine; looked in {}; install one (Debian, Ubuntu: apt-get install postgresql), \
         or name a database with --database-url",
        looked.join(", ")
    )]
    NoBinaries {
        /// The folders that were looked in, each with what was wrong with it.
        looked: Vec<String>,
    },
    /// Another process uses the folder.
    #[error(
        "the data folder {} is in use by {}; stop that one first, or choose another folder with \
         --data-dir",
        folder.display(), if owner.is_empty() { "another process" } else { owner.as_str() }
    )]
    Locked {
        /// The data folder.
        folder: PathBuf,
        /// What the other one wrote into the lock file.
        owner: String,
    },
    /// The data was made by a major version that is not installed here.
    #[error(
        "the data in {} was made by PostgreSQL {data}, and of the versions a relay can use this \
         machine has {}; {}",
        folder.display(), majors(found), other_major_advice(data)
    )]
    OtherMajor {
        /// The cluster's folder.
        folder: PathBuf,
        /// The version that made the data.
        data: String,
        /// The major versions found.
        found: Vec<Major>,
    },
    /// The relay runs as a user that the system has no name for, and PostgreSQL wants one.
    #[error(
        "the relay runs as user id {uid}, which has no entry in /etc/passwd, and PostgreSQL's \
         initdb wants one; run it as a user that has (in a container: a USER that its image \
         knows), or name a database with --database-url"
    )]
    NoUserName {
        /// The user's id.
        uid: u32,
    },
    /// initdb did not succeed; nothing of it was kept.
    #[error("initdb ({}) could not make a database cluster in \
         {}:\n{output}", program.display(), folder.display())]
    Initdb {
        /// The program.
        program: PathBuf,
        /// Where the cluster was to be.
        folder: PathBuf,
        /// What it said.
        output: String,
    },
    /// The server ended while it was starting.
    #[error(
        "the PostgreSQL server for {} ended while it was starting ({status}); it said:\n{log}",
        folder.display()
    )]
    Exited {
        /// The cluster's folder.
        folder: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// There is a server process, but it does not answer.
    #[error(
        "the PostgreSQL server for {} (pid {pid}) did not answer within {} s: {reason}; \
         see its log in {}, or stop it with: kill -INT {pid}",
        folder.display(), waited.as_secs(), folder.join("log").display()
    )]
    NotAnswering {
        /// The cluster's folder.
        folder: PathBuf,
        /// The postmaster.
        pid: i32,
        /// How long it was waited for.
        waited: Duration,
        /// What the last attempt met.
        reason: String,
    },
    /// A file or folder is not as it has to be.
    #[error("{} cannot be used for the private PostgreSQL: {reason}", path.display())]
    Unusable {
        /// Which one.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The server's user cannot get to the data.
    #[error(
        "{} cannot be used for the private PostgreSQL: it runs as user {user}, and {} lets that \
         user not pass (mode {mode:04o}); choose another folder with --data-dir, or: chmod o+x {}",
        path.display(), blocking.display(), blocking.display()
    )]
    Blocked {
        /// Where it was to go.
        path: PathBuf,
        /// The folder on the way that cannot be passed.
        blocking: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The server's user.
        user: String,
    },
    /// Root may not run PostgreSQL, and there is nobody to run it as.
    #[error(
        "PostgreSQL does not run as root, and this machine has neither a user postgres nor a user \
         nobody to run it as; create one (useradd --system postgres), start the relay as another \
         user, or name a database with --database-url"
    )]
    NoAccount,
    /// The operating system refused something.
    #[error("{doing} ({}): {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file, folder or program.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The server answers, but refused what every start needs.
    #[error("the private PostgreSQL refused while {doing}: {reason}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// The server's word.
        reason: String,
    },
    /// The server outlived every request to end.
    #[error(
        "the private PostgreSQL (pid {pid}) did not end when asked to; look at it, and end it \
         with: kill -QUIT {pid}"
    )]
    NotStopped {
        /// The postmaster.
        pid: i32,
    },
}

impl EmbeddedError {
    /// A file or folder that is not as the private PostgreSQL needs it, and what to do.
    pub(super) fn unusable(path: &Path, reason: String) -> Self {
        Self::Unusable { path: path.to_owned(), reason }
    }

    /// For `map_err`: what was being done, with which path.
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

fn majors(found: &[Major]) -> String {
    if found.is_empty() {
        return "none".into();
    }
    found.iter().map(Major::to_string).collect::<Vec<_>>().join(", ")
}

fn other_major_advice(data: &str) -> String {
    let dump =
        format!("dump it with pg_dump of PostgreSQL {data} and restore it into a new --data-dir");
    if Major::of_data(data).is_some_and(Major::is_supported) {
        format!(
            "install that version (Debian, Ubuntu: apt-get install postgresql-{data}), or {dump}"
        )
    } else {
        format!("that one is older than {OLDEST_POSTGRES}, the oldest a relay can use: {dump}")
    }
}
