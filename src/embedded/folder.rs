//! Where the data and the socket are, and whose they are.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::account::{Account, user_name};
use super::error::EmbeddedError;

/// The longest path of a Unix socket, in bytes: sun_path without its final zero (108 on Linux, 104
/// elsewhere).
const LONGEST_SOCKET: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// What PostgreSQL appends to the socket's folder; a port has at most five digits.
const SOCKET_NAME: &str = "/.s.PGSQL.65535";

/// The data folder and what is in it.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    /// The data folder, without links.
    pub(super) path: PathBuf,
    /// The cluster in it.
    pub(super) cluster: PathBuf,
    /// What the server says before its log begins.
    pub(super) start_log: PathBuf,
    pub(super) account: Account,
}

impl Folder {
    /// Makes the data folder if need be, and sees whether the server could use it.
    pub(super) fn prepare(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let wanted = std::path::absolute(data_dir)
            .map_err(EmbeddedError::io("looking for the data folder", data_dir))?;
        if wanted.to_str().is_none() {
            return Err(EmbeddedError::unusable(
                &wanted,
                "its name is not UTF-8; choose another folder with --data-dir".into(),
            ));
        }
        let account = Account::choose(&wanted.join("postgresql"))?;
        let existing = wanted.ancestors().find_map(|folder| fs::canonicalize(folder).ok());
        if let Some((blocking, mode)) = existing.and_then(|folder| account.blocked_by(&folder)) {
            return Err(EmbeddedError::Blocked {
                path: wanted,
                blocking,
                mode,
                user: account.name,
            });
        }
        make_all(&wanted, if account.switch { 0o755 } else { 0o700 }).map_err(|error| {
            EmbeddedError::unusable(
                &wanted,
                format!("it cannot be created: {error}; choose another folder with --data-dir"),
            )
        })?;
        let path = fs::canonicalize(&wanted)
            .map_err(EmbeddedError::io("looking for the data folder", &wanted))?;
        let cluster = path.join("postgresql");
        // The cluster may be a link to another disk.
        let cluster = fs::canonicalize(&cluster).unwrap_or(cluster);
        Ok(Self { start_log: path.join("postgresql-start.log"), path, cluster, account })
    }

    /// The cluster's place and owner as they are now.
    pub(super) fn refresh(&mut self) -> Result<(), EmbeddedError> {
        *self = Self::prepare(&self.path)?;
        Ok(())
    }

    /// Tidies up once the server has ended; a folder that was not made here, or is not empty,
    /// stays.
    pub(super) fn remove_socket_folder(&self, socket: &Path) {
        let ours = format!("{:016x}", self.hash());
        if socket.file_name().is_some_and(|name| name.to_string_lossy().ends_with(&ours)) {
            let _ = fs::remove_dir(socket);
        }
    }

    fn hash(&self) -> u64 {
        fnv1a(self.path.as_os_str().as_bytes())
    }

    /// Makes, or finds again, the private folder that the socket is in.
    pub(super) fn socket_folder(&self) -> Result<PathBuf, EmbeddedError> {
        let hash = self.hash();
        let fallback =
            PathBuf::from(format!("/tmp/progress-relay-{}-{hash:016x}", self.account.uid));
        let preferred = if self.account.switch {
            Some(PathBuf::from("/run"))
        } else {
            std::env::var_os("XDG_RUNTIME_DIR")
                .map(PathBuf::from)
                .filter(|folder| folder.is_absolute())
        };
        let preferred = preferred
            .map(|folder| folder.join(format!("progress-relay-{hash:016x}")))
            .filter(|folder| folder.as_os_str().len() + SOCKET_NAME.len() <= LONGEST_SOCKET);
        if let Some(folder) = preferred {
            match self.account.make_private(&folder) {
                Ok(()) => return Ok(folder),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return self.verify_private(folder);
                }
                Err(error) => {
                    tracing::debug!(folder = %folder.display(), %error, "the socket goes to /tmp \
                         instead")
                }
            }
        }
        match self.account.make_private(&fallback) {
            Ok(()) => Ok(fallback),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.verify_private(fallback),
            Err(source) => Err(EmbeddedError::Io {
                doing: "making the socket's folder",
                path: fallback,
                source,
            }),
        }
    }

    fn verify_private(&self, folder: PathBuf) -> Result<PathBuf, EmbeddedError> {
        let found = fs::symlink_metadata(&folder)
            .map_err(EmbeddedError::io("looking at the socket's folder", &folder))?;
        let private = found.is_dir() && found.mode() & 0o777 == 0o700;
        if private && found.uid() == self.account.uid {
            return Ok(folder);
        }
        if private && found.uid() == 0 && self.account.switch {
            // Root's own, made by a relay that was killed before it could give it away.
            chown(&folder, Some(self.account.uid), Some(self.account.gid)).map_err(
                EmbeddedError::io("giving the socket's folder to the server's user", &folder),
            )?;
            return Ok(folder);
        }
        Err(EmbeddedError::unusable(
            &folder,
            format!(
                "the socket's folder has to be a folder of user {} with mode 0700, and it is {} of \
                 user {} with mode {:04o}; see whose it is, and remove it",
                self.account.name,
                if found.is_dir() { "a folder" } else { "something else" },
                user_name(found.uid()),
                found.mode() & 0o7777
            ),
        ))
    }
}

/// Like `mkdir -p`, but what it makes has this mode whatever the umask, so that the server's user
/// can pass.
fn make_all(folder: &Path, mode: u32) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_all(parent, mode)?;
    }
    match DirBuilder::new().mode(mode).create(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(mode)),
        // Another start made it meanwhile.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// FNV-1a: a hash that stays the same from release to release.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
