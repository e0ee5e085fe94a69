//! Finding the PostgreSQL server that the machine already has.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::Account;
use super::error::EmbeddedError;
use super::version::{Major, data_version};

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
    pub(super) major: Major,
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
        let majors: BTreeSet<Major> = found.iter().map(|binaries| binaries.major).collect();
        // "9.6" is not a version 9, but no 9 is ever among those found.
        found.into_iter().find(|binaries| Some(binaries.major) == Major::of_data(&data)).ok_or_else(
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
        let major =
            Major::of_program(&text).ok_or_else(|| format!("unknown version {:?}", text.trim()))?;
        if !major.is_supported() {
            return Err(format!("version {major} is too old"));
        }
        Ok(Self { major, folder: folder.to_owned() })
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
