//! Finding the PostgreSQL server that the machine already has.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::EmbeddedError;
use super::folder::Account;
use crate::store::OLDEST_POSTGRES;

/// Where packages put the server: a parent, and how the folders in it begin and go on to `bin`.
const PACKAGED: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),                   // PostgreSQL's packages for Red Hat and its kin
    ("/opt/homebrew/opt", "postgresql@", "bin"), // Homebrew
    ("/usr/local", "pgsql", "bin"),              // make install
];

/// One PostgreSQL server: initdb and postgres beside each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Binaries {
    /// Its major version.
    pub(super) major: u32,
    folder: PathBuf,
}

impl Binaries {
    /// The newest for new data, the data's own version otherwise; only such that `account` can
    /// execute.
    pub(super) fn find(account: &Account, cluster: &Path) -> Result<Self, EmbeddedError> {
        let mut looked = Vec::new();
        let mut found = Vec::new();
        for folder in candidates() {
            match Self::examine(&folder, account) {
                Ok(binaries) => found.push(binaries),
                Err(reason) => looked.push(format!("{} ({reason})", folder.display())),
            }
        }
        if found.is_empty() {
            looked.push("PATH".into());
            looked.extend(
                PACKAGED.iter().map(|(parent, begin, bin)| format!("{parent}/{begin}*/{bin}")),
            );
            return Err(EmbeddedError::NoBinaries { looked });
        }
        let Some(data) = data_version(cluster)? else {
            return found.into_iter().max().ok_or(EmbeddedError::NoBinaries { looked });
        };
        let majors: BTreeSet<u32> = found.iter().map(|binaries| binaries.major).collect();
        // "9.6" is not a version 9, but no 9 is ever among those found.
        found.into_iter().find(|binaries| Some(binaries.major) == leading_number(&data)).ok_or_else(
            || EmbeddedError::OtherMajor {
                folder: cluster.to_owned(),
                data,
                found: majors.into_iter().collect(),
            },
        )
    }

    /// The program that makes a cluster.
    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    /// The server.
    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    fn examine(folder: &Path, account: &Account) -> Result<Self, String> {
        if let Some((blocking, _)) = account.blocked_by(folder) {
            return Err(format!("user {} cannot pass {}", account.name, blocking.display()));
        }
        let output = Command::new(folder.join("postgres"))
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let major = major_of(&text).ok_or_else(|| format!("unknown version {:?}", text.trim()))?;
        if major < OLDEST_POSTGRES {
            return Err(format!("version {major} is too old"));
        }
        Ok(Self { major, folder: folder.to_owned() })
    }
}

/// What made the cluster, as its PG_VERSION says; nothing if there is none.
pub(super) fn data_version(cluster: &Path) -> Result<Option<String>, EmbeddedError> {
    let path = cluster.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EmbeddedError::Io { doing: "reading the data's version", path, source }),
    }
}

/// Folders with both programs, links resolved, each once, PATH's first.
fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let path = env::var_os("PATH").unwrap_or_default();
    // A relative entry would run, perhaps as root, whatever lies in the current folder.
    for entry in env::split_paths(&path).filter(|entry| entry.is_absolute()) {
        for name in ["postgres", "initdb", "pg_ctl"] {
            if let Some(target) =
                fs::canonicalize(entry.join(name)).ok().as_deref().and_then(Path::parent)
            {
                folders.push(target.to_owned());
            }
        }
    }
    for (parent, begin, bin) in PACKAGED {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(begin))
        {
            folders.extend(fs::canonicalize(entry.path().join(bin)));
        }
    }
    let mut seen = BTreeSet::new();
    folders.retain(|folder| {
        folder.join("initdb").is_file()
            && folder.join("postgres").is_file()
            && seen.insert(folder.clone())
    });
    folders
}

/// The major version in what `postgres --version` says: "postgres (PostgreSQL) 15.6 (Debian
/// 15.6-0+deb12u1)".
fn major_of(text: &str) -> Option<u32> {
    leading_number(text.split_once("(PostgreSQL)")?.1.trim_start())
}

/// The number a text begins with.
pub(super) fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_packagers_write_them() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.6 (Debian 15.6-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_of("postgres (PostgreSQL) 9.6.24\n"), Some(9));
        assert_eq!(major_of("something else\n"), None);
        assert_eq!(leading_number(""), None);
    }
}
