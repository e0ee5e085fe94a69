//! The errors of the private PostgreSQL. Each names the failure and the operator's next step.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use super::version::Major;
use crate::database::OLDEST_POSTGRES;

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
        /// The folders that were searched, each with the reason why it was not used.
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
        /// The name that the other process wrote into the lock file.
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
    /// The relay runs as a user without a name, and PostgreSQL needs a name.
    #[error(
        "the relay runs as user id {uid}, which has no entry in /etc/passwd, and PostgreSQL's \
         initdb wants one; run it as a user that has (in a container: a USER that its image \
         knows), or name a database with --database-url"
    )]
    NoUserName {
        /// The user's id.
        uid: u32,
    },
    /// initdb failed. Its incomplete cluster was removed.
    #[error(
        "initdb ({}) could not make a database cluster in {}:\n{output}",
        program.display(), folder.display()
    )]
    Initdb {
        /// The initdb that was run.
        program: PathBuf,
        /// The folder of the cluster.
        folder: PathBuf,
        /// The text that initdb printed, and its status.
        output: String,
    },
    /// The server ended while it was starting.
    #[error(
        "the PostgreSQL server for {} ended while it was starting ({status}); its log ends:\n{log}",
        folder.display()
    )]
    Exited {
        /// The cluster's folder.
        folder: PathBuf,
        /// The server's exit status.
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
        /// How long the relay waited.
        waited: Duration,
        /// The error of the last attempt.
        reason: String,
    },
    /// A file or folder is not as the private PostgreSQL needs it.
    #[error("{} cannot be used for the private PostgreSQL: {reason}", path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// The fault, and the next step.
        reason: String,
    },
    /// The server's user cannot reach the data folder.
    #[error(
        "{} cannot be used for the private PostgreSQL: it runs as user {user}, and {} lets that \
         user not pass (mode {mode:04o}); choose another folder with --data-dir, or: chmod o+x {}",
        path.display(), blocking.display(), blocking.display()
    )]
    Blocked {
        /// The data folder.
        path: PathBuf,
        /// The folder on the way that the user cannot pass.
        blocking: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The server's user.
        user: String,
    },
    /// The relay runs as root, and there is no other user to run PostgreSQL as.
    #[error(
        "PostgreSQL does not run as root, and this machine has neither a user postgres nor a user \
         nobody to run it as; create one (useradd --system postgres), start the relay as another \
         user, or name a database with --database-url"
    )]
    NoAccount,
    /// The operating system refused something.
    #[error("{doing} ({}): {source}", path.display())]
    Io {
        /// The step that failed.
        doing: &'static str,
        /// The file, folder or program.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The server answers, but refused a statement of the start.
    #[error("the private PostgreSQL refused while {doing}: {reason}")]
    Refused {
        /// The step that failed.
        doing: &'static str,
        /// The server's error.
        reason: String,
    },
    /// The server did not end when it was told to.
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
    /// The error of a file or folder, with the reason and the next step.
    pub(super) fn unusable(path: &Path, reason: String) -> Self {
        Self::Unusable { path: path.to_owned(), reason }
    }

    /// An error of the system, for `map_err`, with the step and the path.
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
