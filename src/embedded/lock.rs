//! The lock of the data folder, so that one relay at a time uses it. The system releases the lock
//! when the process that holds it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;

use super::error::EmbeddedError;

/// The file of a lock that was just taken may not have its owner's name yet. It is read again this
/// often, with this pause.
const NAME_READS: usize = 10;
const NAME_WAIT: Duration = Duration::from_millis(20);

/// The lock, which is held until the value is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// The outcome of an attempt to take the lock.
pub(super) enum Attempt {
    /// The lock is this process's now.
    Taken(Lock),
    /// Another process holds the lock, and has written this name into the file.
    Held(String),
}

impl Lock {
    /// Takes the folder's lock and writes `owner` into it, unless it is held.
    pub(super) async fn attempt(folder: &Path, owner: &str) -> Result<Attempt, EmbeddedError> {
        let path: PathBuf = folder.join("relay.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            // The folder may belong to another user: root must not follow a link of that user's.
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)
            .map_err(EmbeddedError::io("opening the data folder's lock file", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Attempt::Held(read_owner(&path).await)),
            Err(TryLockError::Error(source)) => {
                return Err(EmbeddedError::Io { doing: "locking the data folder", path, source });
            }
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{owner}"))
            .map_err(EmbeddedError::io("writing the data folder's lock file", &path))?;
        Ok(Attempt::Taken(Self { file }))
    }

    /// Releases the lock and removes this process's name from the file.
    pub(super) fn release(self) {
        // If this fails, the name is never read, since the lock is free.
        let _ = self.file.set_len(0);
    }
}

async fn read_owner(path: &Path) -> String {
    let mut text = String::new();
    for _ in 0..NAME_READS {
        text.clear();
        // A relay writes one short line.
        let read = File::open(path).and_then(|file| file.take(1024).read_to_string(&mut text));
        if read.is_err() || text.ends_with('\n') {
            break;
        }
        tokio::time::sleep(NAME_WAIT).await;
    }
    text.trim().to_owned()
}
