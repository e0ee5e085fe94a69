//! PostgreSQL servers that a test may kill, freeze, fill, promote and demote: on TCP, each its own.

use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

use super::netns::Netns;
use super::port;
use crate::support::postgres::{data_folder_below, entrust_process};
use crate::support::{Database, PATIENCE, until};

/// What `--database-url` names, and what the tests ask.
pub const DATABASE: &str = "progress";

/// For every server of the stage. Durable as far as a killed process goes; the machine's power
/// stays on.
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

/// Where PostgreSQL's programs are, and as whom they run.
#[derive(Debug, Clone)]
struct Programs {
    folder: PathBuf,
    uid: u32,
    gid: u32,
}

impl Programs {
    /// Those of the run's own server.
    async fn find() -> &'static Self {
        static FOUND: OnceCell<Programs> = OnceCell::const_new();
        let find = || async {
            let database = Database::new().await;
            let sql = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
            let row = database.client().await.query_one(sql, &[]).await.expect("a folder");
            let owner = std::fs::metadata(database.folder()).expect("a folder");
            Self { folder: row.get::<_, String>(0).into(), uid: owner.uid(), gid: owner.gid() }
        };
        FOUND.get_or_init(find).await
    }

    /// One of them, as its user, in a folder.
    fn command(&self, netns: Option<&Netns>, name: &str, within: &Path) -> Command {
        use std::os::unix::process::CommandExt;

        let program = self.folder.join(name);
        let root = nix::unistd::geteuid().is_root();
        let mut command = match netns {
            Some(netns) => {
                let mut command = netns.command("setpriv");
                let (uid, gid) = (self.uid.to_string(), self.gid.to_string());
                command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        if root && netns.is_none() {
            command.uid(self.uid).gid(self.gid);
        }
        command.env("LC_ALL", "C").current_dir(within).stdin(Stdio::null()).process_group(0);
        command
    }

    fn hand_over(&self, folder: &Path) {
        if nix::unistd::geteuid().is_root() {
            chown(folder, Some(self.uid), Some(self.gid)).expect("another owner");
        }
    }

    /// A cluster's files as initdb makes them, made once a run.
    async fn template(&'static self) -> &'static Path {
        static MADE: OnceCell<PathBuf> = OnceCell::const_new();
        let make = || async {
            let folder = self.folder(roomy());
            let data = folder.join("data");
            let mut command = self.command(None, "initdb", &folder);
            command.args([
                "-E",
                "UTF8",
                "--locale=C",
                "-U",
                "postgres",
                "-A",
                "trust",
                "--no-sync",
                "-D",
            ]);
            succeed(command.arg(&data)).await;
            data
        };
        MADE.get_or_init(make).await
    }

    /// A new folder that PostgreSQL's user may write in.
    fn folder(&self, place: &Path) -> PathBuf {
        let folder = data_folder_below(place);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))
            .expect("permissions");
        self.hand_over(&folder);
        folder
    }
}

/// Where servers have their data: in memory where there is plenty of it. What a killed process
/// wrote is there all the same, and the disk is not what is tried here.
fn roomy() -> &'static Path {
    let memory = Path::new("/dev/shm");
    let enough = nix::sys::statvfs::statvfs(memory)
        .is_ok_and(|room| room.blocks_available().saturating_mul(room.fragment_size()) > 4 << 30);
    if enough { memory } else { Path::new("/tmp") }
}

/// Runs a program to its end, which must be a good one.
async fn succeed(command: &mut Command) {
    let said = format!("{command:?}");
    let mut command = std::mem::replace(command, Command::new("true"));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let output = output.unwrap_or_else(|error| panic!("{said}: {error}"));
    assert!(output.status.success(), "{said}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A PostgreSQL server on TCP.
pub struct Cluster {
    name: String,
    programs: &'static Programs,
    folder: PathBuf,
    data: PathBuf,
    address: String,
    /// Addresses that it listens on as well, each with a comma in front.
    further: String,
    port: u16,
    netns: Option<Netns>,
    process: Option<std::process::Child>,
    pid: Option<Pid>,
}

impl Cluster {
    /// A new primary with an empty database, on a free port of loopback.
    pub async fn primary(name: &str) -> Self {
        Self::primary_in(name, None, roomy()).await
    }

    /// The same, with its data on the disk.
    pub async fn primary_on_disk(name: &str) -> Self {
        Self::primary_in(name, None, Path::new("/tmp")).await
    }

    /// The same, on a host of its own.
    pub async fn primary_on(name: &str, host: Netns) -> Self {
        Self::primary_in(name, Some(host), roomy()).await
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

    /// A standby that follows this server by streaming, and has all of it by now.
    pub async fn standby(&self, name: &str) -> Self {
        self.standby_by(name, self.address()).await
    }

    /// The same, by way of a proxy.
    pub async fn standby_by(&self, name: &str, way: SocketAddr) -> Self {
        let mut cluster = Self::empty(name, self.programs, None, roomy());
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
        let folder = programs.folder(place);
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

    /// For `--database-url`.
    pub fn url(&self) -> String {
        url(&[self])
    }

    pub fn address(&self) -> SocketAddr {
        format!("{}:{}", self.address, self.port).parse().expect("an address")
    }

    pub fn netns(&self) -> Option<&Netns> {
        self.netns.as_ref()
    }

    /// Where PostgreSQL's user may write.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives a folder to PostgreSQL's user.
    pub fn hand_over(&self, folder: &Path) {
        self.programs.hand_over(folder);
    }

    /// From its next start on it listens on this address too.
    pub fn listen_on(&mut self, address: &str) {
        self.further.push(',');
        self.further.push_str(address);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, and waits until it takes connections.
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
            // After a kill it refuses as long as its old processes live: whoever keeps it up tries
            // again.
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

    /// The end of what it has logged.
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

    /// SIGKILL for all its processes. The postmaster first: it would start others.
    pub fn kill(&mut self) {
        let children = self.children();
        kill(self.pid(), Signal::SIGKILL).expect("a postmaster");
        self.reap();
        for child in children {
            let _ = kill(child, Signal::SIGKILL);
        }
    }

    /// A fast shutdown.
    pub async fn stop(&mut self) {
        kill(self.pid(), Signal::SIGINT).expect("a postmaster");
        until("PostgreSQL to end", || async { self.is_gone().then_some(()) }).await;
        self.reap();
    }

    fn is_gone(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        stat.map_or(true, |stat| {
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
        })
    }

    fn reap(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.wait();
        }
        self.pid = None;
    }

    /// All its processes stand still: the kernel goes on accepting and acknowledging for them.
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
        let file = format!("/proc/{0}/task/{0}/children", self.pid());
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
    }

    /// A standby becomes a primary; returns once it takes writes.
    pub async fn promote(&self) {
        let client = self.session("postgres").await;
        client.query_one("SELECT pg_promote(true, 30)", &[]).await.expect("a promotion");
        self.takes_writes().await;
    }

    pub async fn takes_writes(&self) {
        until("a primary", || async {
            let client = self.try_session("postgres").await.ok()?;
            let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await.ok()?;
            (!row.get::<_, bool>(0)).then_some(())
        })
        .await;
    }

    /// A primary that was left behind becomes a standby of another: stopped cleanly, rewound,
    /// started.
    pub async fn follow(&mut self, primary: &Self) {
        if self.pid.is_some() {
            self.stop().await;
        }
        // Without it the primary's control file may not know of its new timeline, and pg_rewind
        // believes it.
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

    /// Waits until a standby has replayed all that its primary has.
    pub async fn caught_up_with(&self, primary: &Self) {
        let client = primary.session("postgres").await;
        let row = client
            .query_one("SELECT pg_current_wal_insert_lsn()::text", &[])
            .await
            .expect("a place");
        let place: String = row.get(0);
        let client = self.session("postgres").await;
        let sql = "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)";
        until("the standby to have caught up", || async {
            client
                .query_one(sql, &[&place])
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
        // Not in one batch, which would be one transaction.
        let sql = format!("ALTER SYSTEM SET {name} = '{value}'");
        client.batch_execute(&sql).await.expect("a setting");
        client.batch_execute("SELECT pg_reload_conf()").await.expect("a reload");
        until("the setting", || async {
            // A session of after the reload, by way of the postmaster that has read it.
            let client = self.session("postgres").await;
            let row =
                client.query_one("SELECT current_setting($1)", &[&name]).await.expect("a setting");
            (row.get::<_, &str>(0) == value).then_some(())
        })
        .await;
    }

    /// Waits until this many standbys are waited for by commits.
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

    /// A session by way of the socket: no proxy and no cut cable is in its way.
    async fn try_session(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.folder).port(self.port).user("postgres").dbname(database);
        config.application_name("test").connect_timeout(Duration::from_secs(2));
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

fn replication_url(server: SocketAddr, application: &str) -> String {
    let (host, port) = (server.ip(), server.port());
    format!(
        "host={host} port={port} user=postgres application_name={application} connect_timeout=2"
    )
}

/// For `--database-url`: these servers, whichever takes writes.
pub fn url(clusters: &[&Cluster]) -> String {
    let addresses: Vec<_> = clusters.iter().map(|cluster| cluster.address()).collect();
    url_of(&addresses)
}

/// The same, of addresses.
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
    /// Ends it at once, and waits for that: nothing of it meets what comes next.
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
