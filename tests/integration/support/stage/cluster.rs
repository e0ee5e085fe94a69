//! PostgreSQL servers that a test may kill, freeze, fill, promote and demote.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::{Client, NoTls};

use super::netns::Netns;
use super::port;
use super::programs::{Programs, data_place, succeed};
use crate::support::postgres::entrust_process;
use crate::support::{PATIENCE, until};

/// The database of the relays, on every server.
pub const DATABASE: &str = "progress";

/// The settings of every server. They are durable when processes are killed, and not when the
/// machine loses power, which no test does.
const SETTINGS: &str = "
fsync = off
wal_level = replica
hot_standby = on
wal_log_hints = on
max_wal_senders = 10
wal_keep_size = 512MB
wal_sender_timeout = 5s
wal_receiver_timeout = 5s
wal_retrieve_retry_interval = 200ms
max_connections = 300
shared_buffers = 32MB
unix_socket_permissions = 0777
log_line_prefix = '%m [%p] %a '
";
const RULES: &str = "
local all all trust
local replication all trust
host all all 127.0.0.0/8 trust
host replication all 127.0.0.0/8 trust
host all all 10.0.0.0/8 trust
host replication all 10.0.0.0/8 trust
";

/// A PostgreSQL server on TCP.
pub struct Cluster {
    name: String,
    programs: &'static Programs,
    folder: PathBuf,
    data: PathBuf,
    address: String,
    /// More addresses that it listens on, each after a comma.
    further: String,
    port: u16,
    netns: Option<Netns>,
    process: Option<std::process::Child>,
    pid: Option<Pid>,
}

impl Cluster {
    /// A new primary with an empty database, on a free port of loopback.
    pub async fn primary(name: &str) -> Self {
        Self::primary_in(name, None, data_place()).await
    }

    /// A new primary with its data on the disk.
    pub async fn primary_on_disk(name: &str) -> Self {
        Self::primary_in(name, None, Path::new("/tmp")).await
    }

    /// A new primary with its data below this folder.
    pub async fn primary_below(name: &str, place: &Path) -> Self {
        Self::primary_in(name, None, place).await
    }

    /// A new primary on another host.
    pub async fn primary_on(name: &str, host: Netns) -> Self {
        Self::primary_in(name, Some(host), data_place()).await
    }

    async fn primary_in(name: &str, netns: Option<Netns>, place: &Path) -> Self {
        let programs = Programs::find().await;
        let template = programs.template().await;
        let mut cluster = Self::empty(name, programs, netns, place);
        succeed(Command::new("cp").arg("-a").arg(template).arg(&cluster.data)).await;
        std::fs::write(cluster.data.join("pg_hba.conf"), RULES).expect("rules");
        let config = cluster.data.join("postgresql.conf");
        let mut text = std::fs::read_to_string(&config).expect("settings");
        text.push_str(SETTINGS);
        std::fs::write(&config, text).expect("settings");
        cluster.start().await;
        let admin = cluster.session("postgres").await;
        admin.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await.expect("a database");
        cluster
    }

    /// Replaces the rules by which clients on TCP are let in. Those on the local socket always are.
    pub async fn allow(&self, rules: &str) {
        let text = format!("local all all trust\n{rules}\n");
        std::fs::write(self.data.join("pg_hba.conf"), text).expect("rules");
        let session = self.session("postgres").await;
        session.batch_execute("SELECT pg_reload_conf()").await.expect("new rules");
        let rejects = "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL";
        let row = session.query_one(rejects, &[]).await.expect("the rules");
        assert_eq!(row.get::<_, i64>(0), 0, "{rules}");
    }

    /// A new standby that streams from this server and has caught up with it.
    pub async fn standby(&self, name: &str) -> Self {
        self.standby_by(name, self.address()).await
    }

    /// A new standby that streams through a proxy.
    pub async fn standby_by(&self, name: &str, way: SocketAddr) -> Self {
        let mut cluster = Self::empty(name, self.programs, None, data_place());
        let mut command =
            self.programs.command(cluster.netns.as_ref(), "pg_basebackup", &cluster.folder);
        command
            .args(["-R", "-c", "fast", "-d", &replication_url(way, name), "-D"])
            .arg(&cluster.data);
        succeed(&mut command).await;
        cluster.start().await;
        cluster
    }

    fn empty(name: &str, programs: &'static Programs, netns: Option<Netns>, place: &Path) -> Self {
        let folder = programs.new_folder(place);
        let (data, name) = (folder.join("data"), name.to_owned());
        let address = netns.as_ref().map_or("127.0.0.1".to_owned(), |netns| netns.inside.clone());
        let (port, further) = (port(), String::new());
        Self {
            name,
            programs,
            folder,
            data,
            address,
            further,
            port,
            netns,
            process: None,
            pid: None,
        }
    }

    /// The value of `--database-url` for this server.
    pub fn url(&self) -> String {
        url(&[self])
    }

    pub fn address(&self) -> SocketAddr {
        format!("{}:{}", self.address, self.port).parse().expect("an address")
    }

    pub fn netns(&self) -> Option<&Netns> {
        self.netns.as_ref()
    }

    /// A folder that PostgreSQL's user may write in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives a folder to PostgreSQL's user.
    pub fn hand_over(&self, folder: &Path) {
        self.programs.hand_over(folder);
    }

    /// Adds an address that it listens on from its next start.
    pub fn listen_on(&mut self, address: &str) {
        self.further.push(',');
        self.further.push_str(address);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server and waits until it accepts connections.
    pub async fn start(&mut self) {
        assert!(self.pid.is_none(), "{} runs", self.name);
        let begin = Instant::now();
        self.spawn();
        while let Err(error) = self.try_session("postgres").await {
            assert!(
                begin.elapsed() < PATIENCE,
                "{} does not start: {error}\n{}",
                self.name,
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
            // PostgreSQL refuses to start while processes of its killed predecessor live.
            let ended =
                self.process.as_mut().is_none_or(|process| !matches!(process.try_wait(), Ok(None)));
            if ended {
                self.spawn();
            }
        }
    }

    fn spawn(&mut self) {
        let mut command = self.programs.command(self.netns.as_ref(), "postgres", &self.folder);
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.log_file())
            .expect("a log");
        command.arg("-D").arg(&self.data).arg("-k").arg(&self.folder);
        let addresses = format!("{}{}", self.address, self.further);
        command.args(["-p", &self.port.to_string(), "-h", &addresses]);
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        let process = command.spawn().expect("PostgreSQL");
        entrust_process(process.id());
        self.pid = Some(Pid::from_raw(process.id().try_into().expect("a pid")));
        self.process = Some(process);
    }

    /// The last lines of its log.
    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn pid(&self) -> Pid {
        self.pid.unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    /// Kills all processes, the postmaster first, which would start others.
    pub fn kill(&mut self) {
        let children = self.children();
        kill(self.pid(), Signal::SIGKILL).expect("a postmaster");
        self.reap();
        for child in children {
            let _ = kill(child, Signal::SIGKILL);
        }
    }

    /// Stops the server by a fast shutdown.
    pub async fn stop(&mut self) {
        kill(self.pid(), Signal::SIGINT).expect("a postmaster");
        until("PostgreSQL to end", || async { self.is_gone().then_some(()) }).await;
        self.reap();
    }

    fn is_gone(&self) -> bool {
        is_gone(self.pid())
    }

    fn reap(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.wait();
        }
        self.pid = None;
    }

    /// Stops all processes by SIGSTOP. The kernel still accepts connections and acknowledges bytes.
    pub fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).expect("a postmaster");
        for child in self.children() {
            let _ = kill(child, Signal::SIGSTOP);
        }
    }

    pub fn thaw(&self) {
        for child in self.children() {
            let _ = kill(child, Signal::SIGCONT);
        }
        let _ = kill(self.pid(), Signal::SIGCONT);
    }

    fn children(&self) -> Vec<Pid> {
        children(self.pid())
    }

    /// Promotes a standby and waits until it accepts writes.
    pub async fn promote(&self) {
        let client = self.session("postgres").await;
        client.query_one("SELECT pg_promote(true, 30)", &[]).await.expect("a promotion");
        self.takes_writes().await;
    }

    /// Waits until the server accepts writes.
    pub async fn takes_writes(&self) {
        until("a primary", || async {
            let client = self.try_session("postgres").await.ok()?;
            let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await.ok()?;
            (!row.get::<_, bool>(0)).then_some(())
        })
        .await;
    }

    /// Makes an old primary a standby of another: stops it, rewinds it and starts it again.
    pub async fn follow(&mut self, primary: &Self) {
        if self.pid.is_some() {
            self.stop().await;
        }
        // pg_rewind trusts the primary's control file, which names the new timeline only after a
        // checkpoint.
        primary.session("postgres").await.batch_execute("CHECKPOINT").await.expect("a checkpoint");
        let source = format!("{} dbname=postgres", replication_url(primary.address(), &self.name));
        let mut rewind = self.programs.command(self.netns.as_ref(), "pg_rewind", &self.folder);
        rewind.args(["--no-sync", "-D"]).arg(&self.data).args(["--source-server", &source]);
        succeed(&mut rewind).await;
        std::fs::write(self.data.join("standby.signal"), "").expect("a file");
        self.hand_over(&self.data.join("standby.signal"));
        let line =
            format!("primary_conninfo = '{}'\n", replication_url(primary.address(), &self.name));
        std::fs::write(self.data.join("postgresql.auto.conf"), line).expect("settings");
        self.start().await;
    }

    /// Waits until this standby has replayed everything of its primary.
    pub async fn caught_up_with(&self, primary: &Self) {
        let client = primary.session("postgres").await;
        let row = client
            .query_one("SELECT pg_current_wal_insert_lsn()::text", &[])
            .await
            .expect("a position");
        let position: String = row.get(0);
        let client = self.session("postgres").await;
        let sql = "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)";
        until("the standby to have caught up", || async {
            client
                .query_one(sql, &[&position])
                .await
                .expect("an answer")
                .get::<_, bool>(0)
                .then_some(())
        })
        .await;
    }

    /// Changes a setting of a running server.
    pub async fn set(&self, name: &str, value: &str) {
        let client = self.session("postgres").await;
        // Two batches, because one batch is one transaction and ALTER SYSTEM allows none.
        let sql = format!("ALTER SYSTEM SET {name} = '{value}'");
        client.batch_execute(&sql).await.expect("a setting");
        client.batch_execute("SELECT pg_reload_conf()").await.expect("a reload");
        until("the setting", || async {
            // A new session has the settings that the postmaster has read.
            let client = self.session("postgres").await;
            let row =
                client.query_one("SELECT current_setting($1)", &[&name]).await.expect("a setting");
            (row.get::<_, &str>(0) == value).then_some(())
        })
        .await;
    }

    /// Replaces the rules of `pg_hba.conf`. They hold once a setting was changed after them.
    pub fn write_rules(&self, rules: &str) {
        std::fs::write(self.data.join("pg_hba.conf"), rules).expect("rules");
    }

    /// Waits until commits wait for this many standbys.
    pub async fn has_synchronous_standbys(&self, count: i64) {
        let client = self.session("postgres").await;
        let sql = "SELECT count(*) FROM pg_stat_replication \
             WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')";
        until("the synchronous standby", || async {
            (client.query_one(sql, &[]).await.expect("an answer").get::<_, i64>(0) >= count)
                .then_some(())
        })
        .await;
    }

    pub async fn session(&self, database: &str) -> Client {
        let connected = self.try_session(database).await;
        connected.unwrap_or_else(|error| panic!("a session on {}: {error}", self.name))
    }

    async fn try_session(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        local_session(&self.folder, self.port, database).await
    }
}

impl Server for Cluster {
    fn url(&self) -> String {
        self.url()
    }

    async fn session(&self, database: &str) -> Client {
        self.session(database).await
    }
}

/// A server that a play may end on.
pub trait Server {
    /// The value of `--database-url` for this server.
    fn url(&self) -> String;

    /// A session through the local socket.
    fn session(&self, database: &str) -> impl Future<Output = Client>;
}

/// A session through the socket in `folder`, which no proxy and no cut cable can disturb.
pub(super) async fn local_session(
    folder: &Path,
    port: u16,
    database: &str,
) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(folder).port(port).user("postgres").dbname(database);
    config.application_name("test").connect_timeout(Duration::from_secs(2));
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Whether a process has ended; its parent may not know yet.
pub(super) fn is_gone(process: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// The processes that a process has started.
pub(super) fn children(of: Pid) -> Vec<Pid> {
    let file = format!("/proc/{of}/task/{of}/children");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

fn replication_url(server: SocketAddr, application: &str) -> String {
    let (host, port) = (server.ip(), server.port());
    format!(
        "host={host} port={port} user=postgres application_name={application} connect_timeout=2"
    )
}

/// The value of `--database-url` for these servers: the one that accepts writes.
pub fn url(clusters: &[&Cluster]) -> String {
    let addresses: Vec<_> = clusters.iter().map(|cluster| cluster.address()).collect();
    url_of(&addresses)
}

/// The value of `--database-url` for these addresses.
pub fn url_of(addresses: &[SocketAddr]) -> String {
    let list = |part: &dyn Fn(&SocketAddr) -> String| {
        addresses.iter().map(part).collect::<Vec<_>>().join(",")
    };
    let (hosts, ports) = (list(&|at| at.ip().to_string()), list(&|at| at.port().to_string()));
    format!(
        "host={hosts} port={ports} user=postgres dbname={DATABASE} target_session_attrs=read-write"
    )
}

impl Drop for Cluster {
    /// Stops the server at once and waits for its end, so that it does not disturb the next test.
    fn drop(&mut self) {
        let Some(pid) = self.pid else { return };
        self.thaw();
        let _ = kill(pid, Signal::SIGQUIT);
        let begin = Instant::now();
        while !self.is_gone() && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(2));
        }
        if !self.is_gone() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        self.reap();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}
