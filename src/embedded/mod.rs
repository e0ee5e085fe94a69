//! The private PostgreSQL: `serve` without a database URL runs the server that is installed on the
//! machine, on the relay's data folder.
//!
//! The server survives a relay that is killed, and the next relay adopts it. A lock in the data
//! folder makes sure that one relay at a time owns the server. The server listens on a Unix socket
//! in a private folder, and on no TCP port unless an option asks for it. A relay that runs as root
//! starts it as another user.
//!
//! - `options`: folder, durability and settings
//! - `folder`: the folders of the data and of the socket; `account`: the user that owns them and
//!   runs the server; `lock`: one relay for each data folder
//! - `binaries`: finds the server's program; `version`: major versions; `cluster`: creates the
//!   data, starts the program
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

/// How long a command waits for the server of the folder's owner, which may be starting it.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
const JOIN_POLL: Duration = Duration::from_millis(100);

/// A running private PostgreSQL. If it is dropped without `stop`, the server keeps running, and the
/// next start adopts it.
#[derive(Debug)]
pub struct PrivatePostgres {
    folder: Folder,
    options: Options,
    owner: String,
    server: Server,
    /// The lock of the data folder; `None` if another process holds it, and this process is a guest
    /// on its server.
    lock: Option<Lock>,
}

impl PrivatePostgres {
    /// Takes the data folder for this process, and makes sure that its server runs: the cluster is
    /// created on first use, a server that a killed relay left is adopted, and otherwise one is
    /// started. Another process that wants the folder is told `owner`.
    ///
    /// # Errors
    /// [`EmbeddedError::Locked`] if another process has the folder; otherwise the reason why the
    /// server does not run.
    pub async fn start(options: Options, owner: &str) -> Result<Self, EmbeddedError> {
        let folder = Folder::prepare(&options.data_dir)?;
        match Lock::attempt(&folder.path, owner).await? {
            Attempt::Taken(lock) => Self::own(folder, options, owner, lock).await,
            Attempt::Held(owner) => Err(EmbeddedError::Locked { folder: folder.path, owner }),
        }
    }

    /// Uses the server of another process that has the folder, and waits for that server if it is
    /// being started. If no process has the folder, the same as [`start`](Self::start). For
    /// commands that may run beside a `serve`.
    ///
    /// # Errors
    /// [`EmbeddedError::Locked`] if another process has the folder and its server does not answer
    /// in time; otherwise the reason why the server does not run.
    pub(crate) async fn join_or_start(
        options: Options,
        owner: &str,
    ) -> Result<Self, EmbeddedError> {
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
            if since.elapsed() > JOIN_TIMEOUT {
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
        // The last holder may have changed the folder before it released the lock.
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

    /// The configuration of a connection to the relay's database, as the superuser.
    pub fn config(&self) -> Config {
        postmaster::config(&self.server.socket, self.server.port, postmaster::DATABASE)
    }

    /// The command that connects to the database, for the server's user or root.
    fn psql_command(&self) -> String {
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

    /// The pid of the server.
    pub(crate) fn postmaster_pid(&self) -> u32 {
        self.server.process.pid().unsigned_abs()
    }

    /// Resolves when the server has ended, with its exit status if this process had started it.
    /// Cancel safe. If it is called again, it resolves again at once.
    pub(crate) async fn exited(&mut self) -> Option<ExitStatus> {
        self.server.exited().await
    }

    /// Starts the server again after it has ended. A guest becomes the owner if the owner is gone
    /// as well. After an error the caller may wait and call it again.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) async fn restart(&mut self) -> Result<(), EmbeddedError> {
        if self.lock.is_none() {
            *self = Self::join_or_start(self.options.clone(), &self.owner).await?;
            return Ok(());
        }
        self.server = Server::acquire(&self.folder, &self.options).await?;
        self.announce();
        Ok(())
    }

    /// Ends the server, which undoes its open transactions. If it has not ended within `within`, it
    /// is ended immediately, and the next start must recover. A guest leaves the server running.
    ///
    /// # Errors
    /// [`EmbeddedError::NotStopped`] if the server does not end.
    pub async fn stop(self, within: Duration) -> Result<(), EmbeddedError> {
        let Some(lock) = self.lock else { return Ok(()) };
        let socket = self.server.socket.clone();
        self.server.stop(within).await?;
        self.folder.remove_socket_folder(&socket);
        lock.release();
        Ok(())
    }

    /// Tells the server to end, and does not wait. A guest leaves the server running.
    pub(crate) fn abandon(&self) {
        if self.lock.is_some() {
            self.server.process.signal(Signal::SIGINT);
        }
    }
}
