//! The surroundings of a connection string: variables, the home folder, the account, files. All go
//! through one type, so that a test gives its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

/// The longest password file or service file. A longer one is no such file.
const LONGEST_FILE: u64 = 1 << 20;

/// What a connection string is completed from. It may hold a password, and has no `Debug`.
pub struct Environment {
    /// The variables whose names begin with `PG`.
    pub(super) variables: BTreeMap<String, String>,
    /// The folder with `.pgpass`, `.pg_service.conf` and `.postgresql`.
    pub(super) home: Option<PathBuf>,
    /// The name of the account that runs the process. A container's user id may have none.
    pub(super) account: Option<String>,
    pub(super) files: Box<dyn Files>,
}

/// Access to files.
pub(super) trait Files: Send + Sync {
    /// Type, mode and owner, if the file can be seen.
    fn status(&self, path: &Path) -> Option<FileStatus>;

    /// The file's content.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// Type, mode and owner of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileStatus {
    pub(super) is_file: bool,
    pub(super) mode: u32,
    pub(super) owner: u32,
}

impl FileStatus {
    /// Whether the group or others may do anything with the file.
    pub(super) fn is_open_to_others(&self) -> bool {
        self.mode & 0o077 != 0
    }
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let user = User::from_uid(geteuid()).ok().flatten();
        let variables = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
            .filter(|(name, value)| name.starts_with("PG") && !value.is_empty())
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Self {
            variables,
            home: home.or_else(|| user.as_ref().map(|user| user.dir.clone())),
            account: user.map(|user| user.name),
            files: Box::new(SystemFiles),
        }
    }

    /// An environment without variables, home, account and files.
    pub fn empty() -> Self {
        Self { variables: BTreeMap::new(), home: None, account: None, files: Box::new(NoFiles) }
    }

    /// A variable. One that is empty is unset.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A file in the home folder.
    pub(super) fn in_home(&self, name: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(name))
    }

    pub(super) fn status(&self, path: &Path) -> Option<FileStatus> {
        self.files.status(path)
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.files.status(path).is_some()
    }

    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.read(path)
    }
}

/// The files of the system.
struct SystemFiles;

impl Files for SystemFiles {
    fn status(&self, path: &Path) -> Option<FileStatus> {
        let found = path.metadata().ok()?;
        Some(FileStatus { is_file: found.is_file(), mode: found.mode(), owner: found.uid() })
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        File::open(path)?.take(LONGEST_FILE).read_to_end(&mut content)?;
        Ok(content)
    }
}

/// No file at all.
struct NoFiles;

impl Files for NoFiles {
    fn status(&self, _: &Path) -> Option<FileStatus> {
        None
    }

    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}
