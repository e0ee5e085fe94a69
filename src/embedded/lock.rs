//! One relay a data folder: a lock that ends with the process that holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;

use super::error::EmbeddedError;

/// A lock file just taken may not have its owner's name yet: this often, and this long, it is
/// looked at again.
const NAME_LOOKS: usize = 10;
const NAME_WAIT: Duration = Duration::from_millis(20);

/// Held for as long as the value lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// What became of the attempt to take the lock.
pub(super) enum Attempt {
    Taken(Lock),
    /// By another process, which wrote this about itself.
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
            // The folder may be another user's: root must not write where a link of theirs points.
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

    /// Gives the folder back and leaves no name behind.
    pub(super) fn release(self) {
        // What stays in the file of a lock that nobody holds is never read.
        let _ = self.file.set_len(0);
    }
}

async fn read_owner(path: &Path) -> String {
    let mut text = String::new();
    for _ in 0..NAME_LOOKS {
        text.clear();
        // One line of text; anything longer was not written by a relay.
        let read = File::open(path).and_then(|file| file.take(1024).read_to_string(&mut text));
        if read.is_err() || text.ends_with('\n') {
            break;
        }
        tokio::time::sleep(NAME_WAIT).await;
    }
    text.trim().to_owned()
}
