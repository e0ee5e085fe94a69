//! The parts of a measurement: a private PostgreSQL with fsync on, relays, and runs of `simulate`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use progress_relay::database::Connector;
use progress_relay::embedded::{Durability, Options, PrivatePostgres};
use progress_relay::migrate;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, NoTls};

use crate::Outcome;

const PATIENCE: Duration = Duration::from_secs(30);
/// The database that pgbench writes to: the same schema, no relay.
pub const FLOOR: &str = "floor";
/// The database of the relays.
const RELAYED: &str = "relayed";

pub struct Stage {
    postgres: PrivatePostgres,
    folder: PathBuf,
    program: PathBuf,
}

/// A relay, or the bare broadcast. Killed when dropped.
pub struct Server {
    process: Child,
    pub url: String,
}

impl Stage {
    pub async fn start() -> Outcome<Self> {
        // target/release/examples/bench is beside target/release/progress-relay.
        let own = std::env::current_exe()?;
        let program = own.ancestors().nth(2).ok_or("no folder")?.join("progress-relay");
        if !program.exists() {
            return Err("build the relay first: cargo build --release (make bench does)".into());
        }
        let folder =
            std::env::temp_dir().join(format!("progress-relay-bench-{}", std::process::id()));
        // Enough for 128 clients of pgbench beside the relays.
        let settings = vec![("max_connections".to_owned(), "250".to_owned())];
        let options =
            Options { data_dir: folder.clone(), durability: Durability::Durable, settings };
        let postgres = PrivatePostgres::start(options, "bench").await?;
        let stage = Self { postgres, folder, program };
        let admin = stage.client(None).await?;
        for name in [FLOOR, RELAYED] {
            admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
            migrate::apply(&Connector::new(&stage.config(Some(name)))).await?;
        }
        Ok(stage)
    }

    fn config(&self, database: Option<&str>) -> tokio_postgres::Config {
        let mut config = self.postgres.config();
        if let Some(name) = database {
            config.dbname(name);
        }
        config
    }

    async fn client(&self, database: Option<&str>) -> Outcome<Client> {
        let (client, connection) = self.config(database).connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A connection to the relays' database.
    pub async fn database(&self) -> Outcome<Client> {
        self.client(Some(RELAYED)).await
    }

    /// The folder of PostgreSQL's socket, its port and its user.
    pub fn socket(&self) -> (String, u16, String) {
        let config = self.postgres.config();
        let host = match config.get_hosts().first() {
            Some(Host::Unix(path)) => path.display().to_string(),
            Some(Host::Tcp(name)) => name.clone(),
            None => String::new(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        (host, port, config.get_user().unwrap_or_default().to_owned())
    }

    /// The path of a file that is removed when the stage stops.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts a relay.
    pub async fn relay(&self) -> Outcome<Server> {
        let (host, port, user) = self.socket();
        let database = format!("host='{host}' port={port} user='{user}' dbname={RELAYED}");
        let flags = [
            "serve",
            "--bind",
            "127.0.0.1:0",
            "--log",
            "error",
            "--drain",
            "1s",
            "--database-url",
            &database,
        ];
        Server::start(Command::new(&self.program).args(flags)).await
    }

    pub async fn relays(&self, count: usize) -> Outcome<Vec<Server>> {
        let mut relays = Vec::new();
        for _ in 0..count {
            relays.push(self.relay().await?);
        }
        Ok(relays)
    }

    /// Starts the bare broadcast.
    pub async fn broadcast(&self) -> Outcome<Server> {
        Server::start(Command::new(std::env::current_exe()?).arg("broadcast")).await
    }

    /// Runs `simulate` once with these flags and returns its report.
    pub async fn simulate(&self, servers: &[Server], flags: &str) -> Outcome<Value> {
        let urls: Vec<&str> = servers.iter().map(|server| &*server.url).collect();
        let pids: Vec<String> = servers
            .iter()
            .filter_map(|server| server.process.id())
            .map(|pid| pid.to_string())
            .collect();
        let output = Command::new(&self.program)
            .args([
                "simulate",
                "--json",
                "--yes",
                "--url",
                &urls.join(","),
                "--relay-pid",
                &pids.join(","),
            ])
            .args(flags.split_whitespace())
            .env_clear()
            .kill_on_drop(true)
            .output()
            .await?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let report = String::from_utf8_lossy(&output.stdout);
            return Err(format!("simulate {flags}: {} {report}", stderr.trim()).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Stops PostgreSQL and removes its data.
    pub async fn stop(self) -> Outcome<()> {
        self.postgres.stop(PATIENCE).await?;
        std::fs::remove_dir_all(&self.folder)?;
        Ok(())
    }
}

impl Server {
    async fn start(command: &mut Command) -> Outcome<Self> {
        let command =
            command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let mut lines = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, lines.read_line(&mut line)).await??;
        let url =
            line.trim().strip_prefix("listening on ").ok_or("a server did not start")?.to_owned();
        tokio::spawn(async move { lines.read_to_end(&mut Vec::new()).await });
        Ok(Self { process, url })
    }
}

/// A number in a report, or NaN if the report lacks it.
pub fn figure(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}
