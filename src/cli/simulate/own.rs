//! Relays of the run's own, on a private PostgreSQL in a temporary folder: ended and removed
//! afterwards.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_postgres::config::Host;

use crate::client::BaseUrl;
use crate::embedded::{Options, PrivatePostgres};
use crate::error::Failure;

/// How long a relay may take to serve.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long it, and then PostgreSQL, may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct OwnRelays {
    postgres: PrivatePostgres,
    relays: Vec<Child>,
    urls: Vec<BaseUrl>,
    _folder: Folder,
}

/// Removed when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl OwnRelays {
    pub(super) async fn start(count: u32) -> Result<Self, Failure> {
        let name =
            format!("progress-relay-simulate-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let folder = Folder(std::env::temp_dir().join(name));
        let owner = format!("progress-relay simulate, pid {}", std::process::id());
        let postgres = PrivatePostgres::start(Options::durable(folder.0.clone()), &owner).await?;
        let mut own = Self { postgres, relays: Vec::new(), urls: Vec::new(), _folder: folder };
        for _ in 0..count {
            if let Err(failure) = own.add().await {
                let _ = own.stop().await;
                return Err(failure);
            }
        }
        Ok(own)
    }

    async fn add(&mut self) -> Result<(), Failure> {
        let mut relay = Command::new(std::env::current_exe()?)
            .args([
                "serve",
                "--bind",
                "127.0.0.1:0",
                "--drain",
                "1s",
                "--log",
                "warn",
                "--database-url",
            ])
            .arg(database_url(&self.postgres))
            // Its flags' variables are of the relay that someone else runs.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C is for this process, which then ends the relays in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdout = relay.stdout.take();
        self.relays.push(relay);
        let mut lines =
            BufReader::new(stdout.ok_or_else(|| Failure::new("no pipe from the relay"))?);
        let mut line = String::new();
        let read = tokio::time::timeout(START_PATIENCE, lines.read_line(&mut line)).await;
        let url = line.trim().strip_prefix("listening on ").filter(|_| matches!(read, Ok(Ok(_))));
        let url = url
            .ok_or_else(|| Failure::new("a relay for the simulation did not start (see above)"))?;
        self.urls.push(BaseUrl::parse(url)?);
        // Whatever else it might print must not fill the pipe.
        tokio::spawn(async move { lines.read_to_end(&mut Vec::new()).await });
        Ok(())
    }

    pub(super) fn urls(&self) -> Vec<BaseUrl> {
        self.urls.clone()
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.relays.iter().filter_map(Child::id).collect()
    }

    pub(super) fn postmaster_pid(&self) -> u32 {
        self.postgres.postmaster_pid()
    }

    /// Ends the relays, then their database.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        use nix::sys::signal::{Signal, kill};
        let Self { postgres, mut relays, _folder, .. } = self;
        for pid in relays.iter().filter_map(Child::id).filter_map(|pid| i32::try_from(pid).ok()) {
            // One that has ended already is as good.
            let _ = kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM);
        }
        for relay in &mut relays {
            // One that does not end in time is killed when dropped.
            let _ = tokio::time::timeout(STOP_PATIENCE, relay.wait()).await;
        }
        drop(relays);
        Ok(postgres.stop(STOP_PATIENCE).await?)
    }
}

/// As `key=value`, which takes a socket's folder as it is.
fn database_url(postgres: &PrivatePostgres) -> String {
    let config = postgres.config();
    let host = config.get_hosts().first().map_or(String::new(), |host| match host {
        Host::Unix(path) => path.display().to_string(),
        Host::Tcp(name) => name.clone(),
    });
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let quote = |text: &str| text.replace('\\', r"\\").replace('\'', r"\'");
    format!(
        "host='{}' port={port} user='{}' dbname='{}'",
        quote(&host),
        quote(config.get_user().unwrap_or_default()),
        quote(config.get_dbname().unwrap_or_default())
    )
}
