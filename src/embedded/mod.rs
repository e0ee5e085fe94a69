//! The private PostgreSQL: `serve` without a database URL runs the machine's own server on a data
//! folder of its own.
//!
//! The server outlives a relay that is killed, and the next one adopts it; a lock in the data
//! folder says whose it is. It listens on a Unix socket in a private folder and, unless asked, on
//! no TCP port; root runs it as another user.
//!
//! - `options`: the folder, durability and settings that a caller asks for
//! - `folder`: where the data and the socket are; `account`: the user that owns them and runs the
//!   server; `lock`: one relay a folder
//! - `binaries`: finds the server program; `version`: its version and the data's; `cluster`: makes
//!   the data, starts the program
//! - `postmaster`, `process`: the signs of a running server; `server`: adopts, starts and ends it

mod account;
mod binaries;
mod cluster;
mod error;
mod folder;
mod lock;
mod options;
mod postmaster;
mod process;
mod server;
mod version;

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio_postgres::Config;

pub use error::EmbeddedError;
use folder::Folder;
use lock::{Attempt, Lock};
pub use options::{Durability, Options};
use server::Server;

/// How long a command waits for the server of the folder's owner, which may just be making it.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);
const JOIN_POLL: Duration = Duration::from_millis(100);

/// A running private PostgreSQL. Dropped without `stop`, it keeps running, and the next start
/// adopts it.
#[derive(Debug)]
pub struct PrivatePostgres {
    folder: Folder,
    options: Options,
    owner: String,
    server: Server,
    /// None if it belongs to another process, which this one is a guest of.
    lock: Option<Lock>,
}

impl PrivatePostgres {
    /// Takes the data folder for this process and has its server running: made on first use,
    /// adopted if a killed relay left it, started otherwise. `owner` is what another process that
    /// wants the folder is told about this one.
    ///
    /// # Errors
    /// [`EmbeddedError::Locked`] if another process has the folder; otherwise whatever keeps the
    /// server from running.
    pub async fn start(options: Options, owner: &str) -> Result<Self, EmbeddedError> {
        let folder = Folder::prepare(&options.data_dir)?;
        match Lock::attempt(&folder.path, owner).await? {
            Attempt::Taken(lock) => Self::own(folder, options, owner, lock).await,
            Attempt::Held(owner) => Err(EmbeddedError::Locked { folder: folder.path, owner }),
        }
    }

    /// For commands beside a `serve`: uses the server of the process that has the folder, waiting
    /// for it if it is just being started; if no process has the folder, the same as
    /// [`start`](Self::start).
    ///
    /// # Errors
    /// [`EmbeddedError::Locked`] if another process has the folder and its server does not answer
    /// in time; otherwise whatever keeps the server from running.
    pub async fn join_or_start(options: Options, owner: &str) -> Result<Self, EmbeddedError> {
        let folder = Folder::prepare(&options.data_dir)?;
        let since = Instant::now();
        loop {
            let holder = match Lock::attempt(&folder.path, owner).await? {
                Attempt::Taken(lock) => return Self::own(folder, options, owner, lock).await,
                Attempt::Held(holder) => holder,
            };
            if let Some(server) = Server::join(&folder).await? {
                return Ok(Self { folder, options, owner: owner.into(), server, lock: None });
            }
            if since.elapsed() > JOIN_PATIENCE {
                return Err(EmbeddedError::Locked { folder: folder.path, owner: holder });
            }
            tokio::time::sleep(JOIN_POLL).await;
        }
    }

    async fn own(
        mut folder: Folder,
        options: Options,
        owner: &str,
        lock: Lock,
    ) -> Result<Self, EmbeddedError> {
        // Looked at again: what the last holder changed before it let go counts.
        folder.refresh()?;
        let server = Server::acquire(&folder, &options).await?;
        let this = Self { folder, options, owner: owner.into(), server, lock: Some(lock) };
        this.announce();
        Ok(this)
    }

    fn announce(&self) {
        tracing::info!(
            data = %self.folder.cluster.display(),
            user = self.folder.account.name,
            pid = self.postmaster_pid(),
            psql = self.psql_command(),
            "the private PostgreSQL is ready"
        );
    }

    /// How to connect: the socket, the superuser, the relay's database.
    pub fn config(&self) -> Config {
        postmaster::config(&self.server.socket, self.server.port, postmaster::DATABASE)
    }

    /// What to type to reach it, as the server's user or root.
    pub fn psql_command(&self) -> String {
        let socket = self.server.socket.display().to_string();
        let plain =
            socket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
        let socket = if plain { socket } else { format!("'{}'", socket.replace('\'', r"'\''")) };
        format!(
            "psql -h {socket} -p {} -U {} {}",
            self.server.port,
            postmaster::SUPERUSER,
            postmaster::DATABASE
        )
    }

    /// The server's process.
    pub fn postmaster_pid(&self) -> u32 {
        self.server.process.pid().unsigned_abs()
    }

    /// Resolves when the server is gone; with how it ended, if this process had started it. Cancel
    /// safe; resolves again at once if asked again.
    pub async fn exited(&mut self) -> Option<ExitStatus> {
        self.server.exited().await
    }

    /// Has the server running again after it ended. A guest whose host is gone as well becomes the
    /// owner. May be called again after an error; waiting between attempts is the caller's.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), EmbeddedError> {
        if self.lock.is_none() {
            *self = Self::join_or_start(self.options.clone(), &self.owner).await?;
            return Ok(());
        }
        self.server = Server::acquire(&self.folder, &self.options).await?;
        self.announce();
        Ok(())
    }

    /// Ends the server, its open transactions undone; after `within` at once, so that the next
    /// start has to recover. A guest leaves it running.
    ///
    /// # Errors
    /// [`EmbeddedError::NotStopped`] if it withstood that.
    pub async fn stop(self, within: Duration) -> Result<(), EmbeddedError> {
        let Some(lock) = self.lock else { return Ok(()) };
        let socket = self.server.socket.clone();
        self.server.stop(within).await?;
        self.folder.remove_socket_folder(&socket);
        lock.release();
        Ok(())
    }

    /// Tells the server to end and does not wait for it. A guest leaves it running.
    pub fn abandon(&self) {
        if self.lock.is_some() {
            self.server.process.signal(Signal::SIGINT);
        }
    }
}
