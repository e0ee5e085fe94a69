//! The running server: a running one is adopted, or one is started; the relay waits for it, and
//! ends it.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::binaries::Binaries;
use super::cluster;
use super::error::EmbeddedError;
use super::folder::Folder;
use super::options::{Durability, Options};
use super::postmaster::{self, PidFile};
use super::process::Process;

/// How often the relay looks at a server that starts or ends.
const POLL: Duration = Duration::from_millis(25);
/// How often the relay looks at a running server that is not its child.
const WATCH: Duration = Duration::from_secs(1);
/// How long a server may take to start, which includes the recovery from a crash, or to end by
/// itself.
const START_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a server that is ready may be unreachable through its socket before it is restarted.
/// Cleaners of /tmp and of /run/user remove sockets.
const LOST_SOCKET_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a line is logged while the relay waits for the server.
const REMINDER: Duration = Duration::from_secs(5);
/// How long the start is repeated while remains of the last server (its backends, its shared
/// memory) are in the way.
const REMAINS_TIMEOUT: Duration = Duration::from_secs(30);
const REMAINS_WAIT: Duration = Duration::from_millis(200);
/// How long an immediate shutdown may take. The server kills its backends after 5 s.
const IMMEDIATE_TIMEOUT: Duration = Duration::from_secs(10);
/// The texts in the log of a server that was refused by remains of the last one. They come from the
/// server's log, which has no codes for them.
const REMAINS: &[&str] =
    &["pre-existing shared memory block", ".pid\" already exists", ".lock\" already exists"];

/// A server that has answered.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) process: Process,
    pub(super) socket: PathBuf,
    pub(super) port: u16,
    /// The child process; `None` if another process has started the server.
    child: Option<Child>,
}

impl Server {
    /// Adopts the folder's server if one runs, otherwise starts one, and creates the database. Only
    /// the holder of the lock may call this.
    pub(super) async fn acquire(folder: &Folder, options: &Options) -> Result<Self, EmbeddedError> {
        if let Some((server, fsync)) = Self::adopt(folder).await? {
            if fsync || matches!(options.durability, Durability::Throwaway) {
                tracing::info!(
                    pid = server.process.pid(),
                    "adopted the PostgreSQL server that was running"
                );
                postmaster::ensure_database(&server.socket, server.port).await?;
                return Ok(server);
            }
            tracing::info!(
                pid = server.process.pid(),
                "the PostgreSQL server that was running has fsync off: it is restarted"
            );
            server.stop(START_TIMEOUT).await?;
        }
        let binaries = Binaries::find(&folder.account, &folder.cluster)?;
        cluster::ensure(folder, options, &binaries).await?;
        let starting = Instant::now();
        loop {
            match Self::launch(folder, options, &binaries).await {
                Err(EmbeddedError::Exited { log, .. })
                    if starting.elapsed() < REMAINS_TIMEOUT
                        && REMAINS.iter().any(|text| log.contains(text)) =>
                {
                    tracing::info!(
                        "the last PostgreSQL server is still ending; its start is tried again"
                    );
                    sleep(REMAINS_WAIT).await;
                }
                other => return other,
            }
        }
    }

    /// Finds the folder's server if it answers now, without waiting. For commands that run beside
    /// the holder of the lock.
    pub(super) async fn join(folder: &Folder) -> Result<Option<Self>, EmbeddedError> {
        let Some((file, process)) = running(&folder.cluster)? else { return Ok(None) };
        let Some((socket, port)) = file.socket.filter(|_| !file.stopping) else { return Ok(None) };
        match postmaster::ask(&socket, port).await {
            Ok(answer) if answer.data_directory == folder.cluster => {
                postmaster::ensure_database(&socket, port).await?;
                tracing::info!(pid = process.pid(), "using the PostgreSQL server that is running");
                Ok(Some(Self { process, socket, port, child: None }))
            }
            _ => Ok(None),
        }
    }

    /// Finds the server that runs on the folder, and whether it has fsync on. Waits while the
    /// server starts or stops.
    async fn adopt(folder: &Folder) -> Result<Option<(Self, bool)>, EmbeddedError> {
        let mut start_wait = StartWait::new();
        loop {
            let Some((file, process)) = running(&folder.cluster)? else { return Ok(None) };
            let reason = match file.socket {
                _ if file.stopping => "the server is shutting down".to_owned(),
                None => "the server has no socket yet".to_owned(),
                Some((socket, port)) => match postmaster::ask(&socket, port).await {
                    Ok(answer) if answer.data_directory == folder.cluster => {
                        return Ok(Some((
                            Self { process, socket, port, child: None },
                            answer.fsync,
                        )));
                    }
                    Ok(answer) => {
                        format!(
                            "the server on its socket serves {}",
                            answer.data_directory.display()
                        )
                    }
                    Err(error) => {
                        let lost = file.ready
                            && !error.by_server
                            && start_wait.since.elapsed() > LOST_SOCKET_TIMEOUT;
                        if lost && process.works_in(&folder.cluster) == Some(true) {
                            tracing::warn!(
                                pid = process.pid(),
                                reason = error.reason,
                                "the PostgreSQL server has lost its socket: it is restarted"
                            );
                            Self { process, socket, port, child: None }.stop(START_TIMEOUT).await?;
                            return Ok(None);
                        }
                        error.reason
                    }
                },
            };
            start_wait.wait(folder, process.pid(), &reason).await?;
        }
    }

    async fn launch(
        folder: &Folder,
        options: &Options,
        binaries: &Binaries,
    ) -> Result<Self, EmbeddedError> {
        let socket = folder.socket_folder()?;
        // A process that has the pid in the pid file is not the server, which would have been
        // adopted.
        let reused = PidFile::read(&folder.cluster)?.map(|file| file.pid).filter(|pid| *pid > 0);
        let since = SystemTime::now();
        let mut child = Starting(Some(cluster::spawn(folder, options, binaries, &socket, reused)?));
        let mut start_wait = StartWait::new();
        loop {
            if let Some(status) = child.ended()? {
                let log = cluster::log_tail(folder, since);
                return Err(EmbeddedError::Exited { folder: folder.cluster.clone(), status, log });
            }
            let pid = child.pid();
            let file = PidFile::read(&folder.cluster)?.filter(|file| file.pid == pid);
            let reason = match file.and_then(|file| file.socket) {
                None => "the server has no socket yet".to_owned(),
                Some((socket, port)) => match postmaster::ask(&socket, port).await {
                    Ok(_) => {
                        postmaster::ensure_database(&socket, port).await?;
                        let Some(process) = Process::find(pid) else { continue };
                        tracing::info!(
                            pid,
                            version = %binaries.major,
                            "started the PostgreSQL server"
                        );
                        return Ok(Self { process, socket, port, child: child.0.take() });
                    }
                    Err(error) => error.reason,
                },
            };
            start_wait.wait(folder, pid, &reason).await?;
        }
    }

    /// Resolves when the server has ended, with its exit status if it was this process's child.
    /// Cancel safe.
    pub(super) async fn exited(&mut self) -> Option<ExitStatus> {
        if let Some(child) = &mut self.child {
            match child.wait().await {
                Ok(status) => return Some(status),
                Err(error) => tracing::warn!(%error, "waiting for the PostgreSQL server failed"),
            }
        }
        while self.process.is_alive() {
            sleep(WATCH).await;
        }
        None
    }

    /// Asks for a fast shutdown, and after `within` for an immediate one.
    pub(super) async fn stop(mut self, within: Duration) -> Result<(), EmbeddedError> {
        let pid = self.process.pid();
        for (signal, deadline) in [(Signal::SIGINT, within), (Signal::SIGQUIT, IMMEDIATE_TIMEOUT)] {
            self.process.signal(signal);
            if timeout(deadline, self.gone()).await.is_ok() {
                tracing::info!(pid, "the PostgreSQL server has ended");
                return Ok(());
            }
            tracing::warn!(pid, %signal, waited = ?deadline, "the PostgreSQL server has not ended");
        }
        Err(EmbeddedError::NotStopped { pid })
    }

    /// Like `exited`, but looks more often, for a caller that waits.
    async fn gone(&mut self) {
        if self.child.is_some() {
            self.exited().await;
        }
        while self.process.is_alive() {
            sleep(POLL).await;
        }
    }
}

/// A child that is not ready. It is told to end if the wait for it fails or is cancelled.
struct Starting(Option<Child>);

impl Starting {
    fn pid(&self) -> i32 {
        self.0
            .as_ref()
            .and_then(Child::id)
            .and_then(|pid| i32::try_from(pid).ok())
            .unwrap_or_default()
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, EmbeddedError> {
        let Some(child) = &mut self.0 else { return Ok(None) };
        child.try_wait().map_err(EmbeddedError::io("waiting for the server", "postgres"))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if self.0.is_some()
            && let Some(process) = Process::find(self.pid())
        {
            process.signal(Signal::SIGINT);
        }
    }
}

/// A wait for the server, with a deadline and a log line now and then.
struct StartWait {
    since: Instant,
    logged: Instant,
}

impl StartWait {
    fn new() -> Self {
        Self { since: Instant::now(), logged: Instant::now() }
    }

    async fn wait(&mut self, folder: &Folder, pid: i32, reason: &str) -> Result<(), EmbeddedError> {
        let waited = self.since.elapsed();
        if waited >= START_TIMEOUT {
            let (folder, reason) = (folder.cluster.clone(), reason.to_owned());
            return Err(EmbeddedError::NotAnswering { folder, pid, waited, reason });
        }
        if self.logged.elapsed() >= REMINDER {
            self.logged = Instant::now();
            tracing::info!(
                pid,
                waited_s = waited.as_secs(),
                reason,
                "still waiting for the PostgreSQL server"
            );
        }
        sleep(POLL).await;
        Ok(())
    }
}

/// The cluster's pid file and the live process that it names, if that can be the cluster's server.
fn running(cluster: &Path) -> Result<Option<(PidFile, Process)>, EmbeddedError> {
    let Some(file) = PidFile::read(cluster)? else { return Ok(None) };
    let process =
        Process::find(file.pid).filter(|process| process.works_in(cluster) != Some(false));
    Ok(process.map(|process| (file, process)))
}
