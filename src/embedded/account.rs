//! The user that the server runs as: PostgreSQL refuses root, so a relay of root becomes another.

use std::fs::{self, DirBuilder, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, geteuid};

use super::error::EmbeddedError;

/// Who runs the server.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether the relay is root and has to become this user for the server.
    pub(super) switch: bool,
}

impl Account {
    /// The cluster's owner; for a new cluster `postgres`, else `nobody`, if the relay is root.
    pub(super) fn choose(cluster: &Path) -> Result<Self, EmbeddedError> {
        let me = geteuid();
        let owner = match fs::metadata(cluster) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(source) => {
                return Err(EmbeddedError::Io {
                    doing: "looking at the data",
                    path: cluster.into(),
                    source,
                });
            }
        };
        match owner {
            Some(found) if me.is_root() && found.uid() != 0 => Ok(Self::of(&found, true)),
            Some(_) if me.is_root() => Err(EmbeddedError::unusable(
                cluster,
                "it belongs to root, and PostgreSQL does not run as root; give it to a user with \
                 chown -R"
                    .into(),
            )),
            Some(found) if found.uid() != me.as_raw() => Err(EmbeddedError::unusable(
                cluster,
                format!(
                    "it belongs to user {}; start the relay as that user or as root, or choose \
                     another folder with --data-dir",
                    user_name(found.uid())
                ),
            )),
            Some(found) => Ok(Self::of(&found, false)),
            None if me.is_root() => ["postgres", "nobody"]
                .iter()
                .find_map(|name| User::from_name(name).ok().flatten())
                .filter(|user| !user.uid.is_root())
                .map(|user| Self {
                    name: user.name,
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                    switch: true,
                })
                .ok_or(EmbeddedError::NoAccount),
            None => Ok(Self {
                name: user_name(me.as_raw()),
                uid: me.as_raw(),
                gid: nix::unistd::getegid().as_raw(),
                switch: false,
            }),
        }
    }

    fn of(found: &Metadata, switch: bool) -> Self {
        let gid =
            User::from_uid(Uid::from_raw(found.uid())).ok().flatten().map(|user| user.gid.as_raw());
        Self {
            name: user_name(found.uid()),
            uid: found.uid(),
            gid: gid.unwrap_or(found.gid()),
            switch,
        }
    }

    /// The first folder on the way to `path`, itself included, that the account cannot pass, and
    /// its mode. Only asked for an account that root becomes: for its own user the system's answer
    /// is as clear.
    pub(super) fn blocked_by(&self, path: &Path) -> Option<(PathBuf, u32)> {
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        ancestors.into_iter().filter(|_| self.switch).find_map(|folder| {
            let found = fs::metadata(folder).ok()?;
            let bit = match (found.uid() == self.uid, found.gid() == self.gid) {
                (true, _) => 0o100,
                (_, true) => 0o010,
                _ => 0o001,
            };
            (found.mode() & bit == 0).then(|| (folder.to_owned(), found.mode() & 0o7777))
        })
    }

    /// Makes a folder that only this account can look into.
    pub(super) fn make_private(&self, folder: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(folder)?;
        if self.switch { chown(folder, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }
}

pub(super) fn user_name(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid))
        .ok()
        .flatten()
        .map_or_else(|| uid.to_string(), |user| user.name)
}
