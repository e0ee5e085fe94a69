//! A Patroni cluster: one etcd, and two PostgreSQL servers, each managed by its Patroni.
//!
//! Patroni starts and stops PostgreSQL by itself, so this file knows a postmaster by its pid file
//! alone. What kills or freezes a server does the same to its Patroni, as the end of a machine
//! does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use progress_relay::client::http::{Connection, Response};
use progress_relay::client::{BaseUrl, ClientError};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::balancer::DatabaseBalancer;
use super::cluster::{DATABASE, Server, children, is_gone, local_session, url_of};
use super::netns::Netns;
use super::port;
use super::programs::{Programs, data_place};
use crate::support::postgres::entrust_process;
use crate::support::{PATIENCE, until};

/// Patroni's times in seconds, as short as its rule `ttl >= loop_wait + 2 * retry_timeout` and a
/// busy machine allow. A primary that dies is replaced after about `TTL`.
const TTL: u64 = 7;
const LOOP_WAIT: u64 = 1;
const RETRY_TIMEOUT: u64 = 3;
/// How long a switchover, or the rewind of an old primary, may take on a busy machine.
const CHANGE: Duration = Duration::from_secs(60);

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// For no standby.
    Asynchronous,
    /// For the standby, as long as there is one (`synchronous_mode`).
    Synchronous,
    /// For the standby, and without one it waits for it to come back (`synchronous_mode_strict`).
    Strict,
}

/// The cluster. The first member is the primary at the beginning.
pub struct Patroni {
    _etcd: Etcd,
    pub members: [Member; 2],
}

impl Patroni {
    /// Starts a cluster on loopback, or with the first member on another host.
    pub async fn start(replication: Replication, host: Option<Netns>) -> Self {
        let programs = Programs::find().await;
        let here = host.as_ref().map_or("127.0.0.1".to_owned(), |host| host.outside.clone());
        let etcd = Etcd::start(programs, &here).await;
        let there = host.as_ref().map_or(here.clone(), |host| host.inside.clone());
        let mut first = Member::new("a", programs, &there, host, etcd.address, replication);
        let mut second = Member::new("b", programs, &here, None, etcd.address, replication);
        first.run();
        // From now on the first member is known to be the one that creates the cluster.
        first.wait("its files", async || first.data().join("PG_VERSION").exists()).await;
        second.run();
        first.leads().await;
        let create = format!("CREATE DATABASE {DATABASE}");
        first.session("postgres").await.batch_execute(&create).await.expect("a database");
        let this = Self { _etcd: etcd, members: [first, second] };
        this.members[1].follows(replication).await;
        this
    }

    /// The value of `--database-url` that names both servers.
    pub fn url(&self) -> String {
        url_of(&[self.members[0].address, self.members[1].address])
    }

    /// Starts HAProxy before both servers.
    pub async fn balancer(&self) -> DatabaseBalancer {
        let of = |member: &Member| (member.address, member.api.port());
        DatabaseBalancer::before([of(&self.members[0]), of(&self.members[1])]).await
    }

    /// Makes the second member the primary, as an operator does it, and returns once it takes
    /// writes.
    pub async fn switch_over(&self) {
        let [old, new] = &self.members;
        let order = json!({ "leader": old.name, "candidate": new.name });
        let ordered = async {
            let answer = old.ask("POST", "/switchover", &order).await.expect("an answer");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(answer.status.is_success(), "{}: {text}\n{}", answer.status, old.log());
        };
        // Patroni's answer comes up to a second after the new primary takes writes.
        tokio::select! {
            () = new.leads() => {}
            () = async { ordered.await; std::future::pending().await } => {}
        }
    }
}

/// A server and its Patroni.
pub struct Member {
    name: &'static str,
    programs: &'static Programs,
    folder: PathBuf,
    pub address: SocketAddr,
    api: SocketAddr,
    netns: Option<Netns>,
    process: Option<Child>,
}

impl Member {
    fn new(
        name: &'static str,
        programs: &'static Programs,
        host: &str,
        netns: Option<Netns>,
        etcd: SocketAddr,
        replication: Replication,
    ) -> Self {
        let folder = programs.new_folder(data_place());
        let at = |port: u16| format!("{host}:{port}").parse().expect("an address");
        let (address, api) = (at(port()), at(port()));
        let this = Self { name, programs, folder, address, api, netns, process: None };
        // JSON is YAML too.
        let text = this.configuration(etcd, replication).to_string();
        std::fs::write(this.folder.join("patroni.yml"), text).expect("a file");
        this
    }

    fn configuration(&self, etcd: SocketAddr, replication: Replication) -> Value {
        let rules = [
            "local all all trust",
            "host all all 127.0.0.0/8 trust",
            "host replication all 127.0.0.0/8 trust",
            "host all all 10.0.0.0/8 trust",
            "host replication all 10.0.0.0/8 trust",
        ];
        json!({
            "scope": "relay-test",
            "name": self.name,
            "restapi": { "listen": self.api, "connect_address": self.api },
            "etcd": { "host": etcd },
            "bootstrap": {
                "dcs": {
                    "ttl": TTL,
                    "loop_wait": LOOP_WAIT,
                    "retry_timeout": RETRY_TIMEOUT,
                    "maximum_lag_on_failover": 64 << 20,
                    "synchronous_mode": replication != Replication::Asynchronous,
                    "synchronous_mode_strict": replication == Replication::Strict,
                    "postgresql": { "use_pg_rewind": true },
                },
                "initdb": [{ "encoding": "UTF8" }, { "locale": "C" }],
            },
            "postgresql": {
                "listen": self.address,
                "connect_address": self.address,
                "data_dir": self.data(),
                "bin_dir": self.programs.folder(),
                "pgpass": self.folder.join("pgpass"),
                "pg_hba": rules,
                // Or else the copy waits for the primary's next checkpoint, which takes minutes.
                "basebackup": [{ "checkpoint": "fast" }],
                "authentication": {
                    "superuser": { "username": "postgres" },
                    "replication": { "username": "replicator" },
                },
                "parameters": {
                    "unix_socket_directories": self.folder,
                    "unix_socket_permissions": "0777",
                    "max_connections": 100,
                    "shared_buffers": "32MB",
                    "wal_sender_timeout": "5s",
                    "wal_receiver_timeout": "5s",
                    "wal_retrieve_retry_interval": "200ms",
                    "log_line_prefix": "%m [%p] %a ",
                },
            },
        })
    }

    /// The place where the end of a run looks for a server that is to be stopped.
    fn data(&self) -> PathBuf {
        self.folder.join("postgresql")
    }

    pub fn netns(&self) -> Option<&Netns> {
        self.netns.as_ref()
    }

    /// Starts Patroni, which starts PostgreSQL.
    pub fn run(&mut self) {
        let program = installed("patroni");
        let mut command = self.programs.command(self.netns.as_ref(), &program, &self.folder);
        command.arg("patroni.yml").env("HOME", &self.folder);
        self.process = Some(spawn(&mut command, &self.folder));
    }

    /// Waits until this is the primary and takes writes.
    pub async fn leads(&self) {
        self.wait("the primary's role", async || {
            if !self.says("/primary").await {
                return false;
            }
            let Ok(client) = local_session(&self.folder, self.address.port(), "postgres").await
            else {
                return false;
            };
            let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await;
            row.is_ok_and(|row| !row.get::<_, bool>(0))
        })
        .await;
    }

    /// Waits until this is a standby that streams, and that commits wait for if they wait for any.
    pub async fn follows(&self, replication: Replication) {
        let role =
            if replication == Replication::Asynchronous { "/replica" } else { "/synchronous" };
        self.wait("the standby's role", async || {
            self.says(role).await && self.wal_receiver().await.is_some()
        })
        .await;
    }

    /// The process that receives the primary's log.
    async fn wal_receiver(&self) -> Option<Pid> {
        let client = local_session(&self.folder, self.address.port(), "postgres").await.ok()?;
        let sql = "SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'";
        let row = client.query_opt(sql, &[]).await.ok()??;
        Some(Pid::from_raw(row.get(0)))
    }

    /// Stops the process that receives the primary's log. What the primary sends from now on is
    /// lost if [`Member::forget_stalled`] ends that process.
    pub async fn stall(&self) -> Pid {
        let receiver = self.wal_receiver().await.expect("a streaming standby");
        kill(receiver, Signal::SIGSTOP).expect("a process");
        receiver
    }

    /// Ends the stalled process before it reads what the kernel has received for it.
    pub fn forget_stalled(&self, receiver: Pid) {
        for signal in [Signal::SIGTERM, Signal::SIGCONT] {
            kill(receiver, signal).expect("a process");
        }
    }

    /// Whether Patroni answers a health check with 200.
    async fn says(&self, path: &str) -> bool {
        let answer = self.ask("GET", path, &Value::Null).await;
        answer.is_ok_and(|answer| answer.status.is_success())
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Response, ClientError> {
        let url = BaseUrl::parse(&format!("http://{}", self.api)).expect("a URL");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Connection::open(&url).await?.request(method, path, &[], body.into()).await
    }

    /// Waits until this holds. Each look costs Patroni and PostgreSQL a few milliseconds.
    async fn wait(&self, what: &str, so: impl AsyncFn() -> bool) {
        let begin = Instant::now();
        while !so().await {
            let log = || format!("{}: no {what}\n{}", self.name, self.log());
            assert!(begin.elapsed() < CHANGE, "{}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The last lines of the log of Patroni and PostgreSQL.
    fn log(&self) -> String {
        last_lines(&self.folder)
    }

    /// Patroni, PostgreSQL's first process and all others, in this order: each would start the ones
    /// after it again.
    fn processes(&self) -> Vec<Pid> {
        let mut found = Vec::new();
        if let Some(process) = &self.process {
            found.push(Pid::from_raw(process.id().try_into().expect("a pid")));
        }
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        if let Some(pid) = text.lines().next().and_then(|pid| pid.parse().ok()) {
            let postmaster = Pid::from_raw(pid);
            found.push(postmaster);
            found.extend(children(postmaster));
        }
        found
    }

    fn signal(&self, signal: Signal) {
        for process in self.processes() {
            let _ = kill(process, signal);
        }
    }

    /// Kills Patroni and PostgreSQL.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(mut process) = self.process.take() {
            let _ = process.wait();
        }
    }

    /// Kills PostgreSQL alone, and waits for its end.
    pub async fn crash(&self) {
        let processes = self.processes();
        for process in &processes[1..] {
            let _ = kill(*process, Signal::SIGKILL);
        }
        self.wait("end of PostgreSQL", async || is_gone(processes[1])).await;
    }

    /// Stops Patroni and PostgreSQL by SIGSTOP, as a machine hangs.
    pub fn freeze(&self) {
        let processes = self.processes();
        // A frozen server does not end by itself, and would outlive a run that is killed.
        if let Some(postmaster) = processes.get(1) {
            entrust_process(postmaster.as_raw().try_into().expect("a pid"));
        }
        self.signal(Signal::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }
}

impl Server for Member {
    fn url(&self) -> String {
        url_of(&[self.address])
    }

    async fn session(&self, database: &str) -> Client {
        let connected = local_session(&self.folder, self.address.port(), database).await;
        connected.unwrap_or_else(|error| panic!("a session on {}: {error}", self.name))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.thaw();
        self.kill();
        let _ = std::fs::remove_dir_all(self.data());
    }
}

/// The store of the leader's lock, with its second API.
///
/// By the third, Patroni 3.0 goes on after a hang with what it knew before: it renews a lock that
/// another server holds, and the new primary is rewound with everything that it has acknowledged.
struct Etcd {
    process: Child,
    address: SocketAddr,
}

impl Etcd {
    async fn start(programs: &'static Programs, host: &str) -> Self {
        let folder = programs.new_folder(data_place());
        let address: SocketAddr = format!("{host}:{}", port()).parse().expect("an address");
        let (clients, peers) = (format!("http://{address}"), format!("http://{host}:{}", port()));
        let mut command = programs.command(None, &installed("etcd"), &folder);
        command.args(["--data-dir", "data", "--log-level", "error", "--enable-v2"]);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("default={peers}")]);
        let process = spawn(&mut command, &folder);
        let this = Self { process, address };
        let url = BaseUrl::parse(&clients).expect("a URL");
        let begin = Instant::now();
        until("etcd", async || {
            let healthy = async { Connection::open(&url).await?.get("/health").await };
            assert!(begin.elapsed() < PATIENCE, "no etcd\n{}", last_lines(&folder));
            healthy.await.is_ok_and(|answer| answer.status.is_success()).then_some(())
        })
        .await;
        this
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The path of a program of Debian's packages.
fn installed(name: &str) -> String {
    let path = Path::new("/usr/bin").join(name);
    assert!(path.exists(), "{} is missing (scripts/setup faults)", path.display());
    path.to_str().expect("UTF-8").to_owned()
}

/// Starts a program that logs into `folder`.
fn spawn(command: &mut Command, folder: &Path) -> Child {
    let log =
        std::fs::File::options().append(true).create(true).open(folder.join("log")).expect("a log");
    command.stdout(log.try_clone().expect("a log")).stderr(log);
    let process = command.spawn().expect("a program");
    entrust_process(process.id());
    process
}

fn last_lines(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
