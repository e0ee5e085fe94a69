//! The running server: found and adopted, or started; waited for; ended.

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

/// How often a server that starts or ends is looked at.
const POLL: Duration = Duration::from_millis(25);
/// How often a server that is not this process's child is looked at while it serves.
const WATCH: Duration = Duration::from_secs(1);
/// How long a server may take to start, which includes recovering from a crash, or to end by
/// itself.
const START_PATIENCE: Duration = Duration::from_secs(600);
/// How long a server that is ready may not be reached through its socket; cleaners of /tmp and of
/// /run/user remove sockets.
const LOST_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is said that one still waits.
const REMINDER: Duration = Duration::from_secs(5);
/// How long starting is repeated while remains of the last server (its backends, its shared memory)
/// are still ending.
const REMAINS_PATIENCE: Duration = Duration::from_secs(30);
const REMAINS_WAIT: Duration = Duration::from_millis(200);
/// How long a server has for an immediate shutdown; it kills its own backends after 5 s.
const IMMEDIATE_PATIENCE: Duration = Duration::from_secs(10);
/// How the server says that remains of the last one are in its way.
const REMAINS: &[&str] =
    &["pre-existing shared memory block", ".pid\" already exists", ".lock\" already exists"];

/// A postmaster that answered.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) process: Process,
    pub(super) socket: PathBuf,
    pub(super) port: u16,
    /// None for one that another process started.
    child: Option<Child>,
}

impl Server {
    /// Adopts the folder's server if it runs, starts one otherwise, and makes the database. For the
    /// lock's holder.
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
                "the PostgreSQL server that was running has fsync off: starting anew"
            );
            server.stop(START_PATIENCE).await?;
        }
        let binaries = Binaries::find(&folder.account, &folder.cluster)?;
        cluster::ensure(folder, options, &binaries).await?;
        let starting = Instant::now();
        loop {
            match Self::launch(folder, options, &binaries).await {
                Err(EmbeddedError::Exited { log, .. })
                    if starting.elapsed() < REMAINS_PATIENCE
                        && REMAINS.iter().any(|text| log.contains(text)) =>
                {
                    tracing::info!("the last PostgreSQL server is still ending; trying again");
                    sleep(REMAINS_WAIT).await;
                }
                other => return other,
            }
        }
    }

    /// The folder's server if it answers now; never waits for one. For commands beside the lock's
    /// holder.
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

    /// The server that runs on the folder, and whether it has fsync on; waits while it starts or
    /// stops.
    async fn adopt(folder: &Folder) -> Result<Option<(Self, bool)>, EmbeddedError> {
        let mut patience = Patience::new();
        loop {
            let Some((file, process)) = running(&folder.cluster)? else { return Ok(None) };
            let reason = match file.socket {
                _ if file.stopping => "it is shutting down".to_owned(),
                None => "it has no socket yet".to_owned(),
                Some((socket, port)) => match postmaster::ask(&socket, port).await {
                    Ok(answer) if answer.data_directory == folder.cluster => {
                        return Ok(Some((
                            Self { process, socket, port, child: None },
                            answer.fsync,
                        )));
                    }
                    Ok(answer) => {
                        format!(
                            "on its socket, a server answers for {}",
                            answer.data_directory.display()
                        )
                    }
                    Err(error) => {
                        let lost = file.ready
                            && !error.by_server
                            && patience.since.elapsed() > LOST_PATIENCE;
                        if lost && process.works_in(&folder.cluster) == Some(true) {
                            tracing::warn!(
                                pid = process.pid(),
                                reason = error.reason,
                                "the PostgreSQL server has lost its socket: starting anew"
                            );
                            Self { process, socket, port, child: None }
                                .stop(START_PATIENCE)
                                .await?;
                            return Ok(None);
                        }
                        error.reason
                    }
                },
            };
            patience.wait(folder, process.pid(), &reason).await?;
        }
    }

    async fn launch(
        folder: &Folder,
        options: &Options,
        binaries: &Binaries,
    ) -> Result<Self, EmbeddedError> {
        let socket = folder.socket_folder()?;
        // Whoever has the pid in the pid file now is not the server, or it would have been adopted.
        let reused = PidFile::read(&folder.cluster)?.map(|file| file.pid).filter(|pid| *pid > 0);
        let since = SystemTime::now();
        let mut child = Starting(Some(cluster::spawn(folder, options, binaries, &socket, reused)?));
        let mut patience = Patience::new();
        loop {
            if let Some(status) = child.ended()? {
                let log = cluster::log_tail(folder, since);
                return Err(EmbeddedError::Exited { folder: folder.cluster.clone(), status, log });
            }
            let pid = child.pid();
            let file = PidFile::read(&folder.cluster)?.filter(|file| file.pid == pid);
            let reason = match file.and_then(|file| file.socket) {
                None => "it has no socket yet".to_owned(),
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
            patience.wait(folder, pid, &reason).await?;
        }
    }

    /// Resolves when it is gone; with how it ended, if it was this process's child. Cancel safe.
    pub(super) async fn exited(&mut self) -> Option<ExitStatus> {
        if let Some(child) = &mut self.child {
            match child.wait().await {
                Ok(status) => return Some(status),
                Err(error) => tracing::warn!(%error, "could not wait for the PostgreSQL server"),
            }
        }
        while self.process.is_alive() {
            sleep(WATCH).await;
        }
        None
    }

    /// Fast shutdown, and after `within` an immediate one.
    pub(super) async fn stop(mut self, within: Duration) -> Result<(), EmbeddedError> {
        let pid = self.process.pid();
        for (signal, patience) in [(Signal::SIGINT, within), (Signal::SIGQUIT, IMMEDIATE_PATIENCE)]
        {
            self.process.signal(signal);
            if timeout(patience, self.gone()).await.is_ok() {
                tracing::info!(pid, "the PostgreSQL server has ended");
                return Ok(());
            }
            tracing::warn!(pid, %signal, waited = ?patience, "the PostgreSQL server has not ended");
        }
        Err(EmbeddedError::NotStopped { pid })
    }

    /// Like `exited`, but looks more often, for somebody who waits.
    async fn gone(&mut self) {
        if self.child.is_some() {
            self.exited().await;
        }
        while self.process.is_alive() {
            sleep(POLL).await;
        }
    }
}

/// A child that is not ready: told to end if whoever waits for it gives up or is cancelled.
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

/// Waiting with an end, and with a word now and then.
struct Patience {
    since: Instant,
    said: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { since: Instant::now(), said: Instant::now() }
    }

    async fn wait(&mut self, folder: &Folder, pid: i32, reason: &str) -> Result<(), EmbeddedError> {
        let waited = self.since.elapsed();
        if waited >= START_PATIENCE {
            let (folder, reason) = (folder.cluster.clone(), reason.to_owned());
            return Err(EmbeddedError::NotAnswering { folder, pid, waited, reason });
        }
        if self.said.elapsed() >= REMINDER {
            self.said = Instant::now();
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

/// The live process that the cluster's pid file names, if it can be the cluster's server.
fn running(cluster: &Path) -> Result<Option<(PidFile, Process)>, EmbeddedError> {
    let Some(file) = PidFile::read(cluster)? else { return Ok(None) };
    let process =
        Process::find(file.pid).filter(|process| process.works_in(cluster) != Some(false));
    Ok(process.map(|process| (file, process)))
}
