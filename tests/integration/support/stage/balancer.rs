//! HAProxy and PgBouncer, as deploy/ configures them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use progress_relay::client::BaseUrl;
use tokio::net::TcpStream;

use super::port;
use crate::support::postgres::entrust_process;
use crate::support::{PATIENCE, data_folder};

/// The text of a file of deploy/.
pub fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Replaces a part of a shipped file, which must contain it.
pub fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from:?} in the shipped file");
    text.replace(from, to)
}

pub fn folder_with(name: &str, text: &str) -> (PathBuf, PathBuf) {
    let folder = data_folder();
    std::fs::create_dir(&folder).expect("a folder");
    let file = folder.join(name);
    std::fs::write(&file, text).expect("a file");
    (folder, file)
}

/// Starts a program in a folder and waits until it accepts connections.
pub async fn start(program: &str, arguments: &[&str], folder: &Path, address: SocketAddr) -> Child {
    let path = folder.join("log");
    let log = std::fs::File::create(&path).expect("a log");
    // Debian installs these programs in sbin, which only root has on its PATH.
    let place = Path::new("/usr/sbin").join(program);
    let mut command = if place.exists() { Command::new(place) } else { Command::new(program) };
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
    let started = command.spawn();
    let mut process =
        started.unwrap_or_else(|error| panic!("{program}: {error} (scripts/setup faults)"));
    entrust_process(process.id());
    let begin = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        let ended = process.try_wait().expect("a status");
        if ended.is_some() || begin.elapsed() > PATIENCE {
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            panic!("{program} does not accept ({ended:?}): {log}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process
}

pub fn end(process: &mut Child) {
    let _ = process.kill();
    let _ = process.wait();
}

/// HAProxy before relays, configured by deploy/haproxy.cfg.
pub struct HaProxy {
    process: Child,
    pub url: BaseUrl,
}

impl HaProxy {
    /// Starts HAProxy before one to three relays.
    pub async fn before(relays: &[SocketAddr]) -> Self {
        let own = port();
        let mut text =
            replace(&shipped("haproxy.cfg"), "127.0.0.1:8080", &format!("127.0.0.1:{own}"));
        for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
            let line = format!("    server {name} 127.0.0.1:{}\n", 8001 + index);
            let real =
                relays.get(index).map(|at| format!("    server {name} {at}\n")).unwrap_or_default();
            text = replace(&text, &line, &real);
        }
        let (folder, file) = folder_with("haproxy.cfg", &text);
        let file = file.to_str().expect("UTF-8");
        let address = SocketAddr::from(([127, 0, 0, 1], own));
        let process = start("haproxy", &["-db", "-f", file], &folder, address).await;
        let url = BaseUrl::parse(&format!("http://127.0.0.1:{own}")).expect("a URL");
        Self { process, url }
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// HAProxy before the two servers of a Patroni cluster, configured by deploy/haproxy-patroni.cfg.
pub struct DatabaseBalancer {
    process: Child,
    pub address: SocketAddr,
}

impl DatabaseBalancer {
    /// Starts HAProxy before two servers, each with the port of its Patroni's REST API.
    pub async fn before(servers: [(SocketAddr, u16); 2]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port()));
        let mut text = shipped("haproxy-patroni.cfg");
        text = replace(&text, "127.0.0.1:5000", &address.to_string());
        let lines = ["a 127.0.0.1:5432 port 8008", "b 127.0.0.1:5433 port 8009"];
        for (line, (server, api)) in lines.into_iter().zip(servers) {
            text = replace(&text, line, &format!("{} {server} port {api}", &line[..1]));
        }
        let (folder, file) = folder_with("haproxy-patroni.cfg", &text);
        let file = file.to_str().expect("UTF-8");
        let process = start("haproxy", &["-db", "-f", file], &folder, address).await;
        Self { process, address }
    }
}

impl Drop for DatabaseBalancer {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// PgBouncer before a server, configured by deploy/pgbouncer.ini.
pub struct PgBouncer {
    process: Child,
    pub address: SocketAddr,
}

impl PgBouncer {
    /// Starts PgBouncer before a server. `changes` are settings that differ from the shipped ones.
    pub async fn before(server: SocketAddr, changes: &[(&str, &str)]) -> Self {
        let own = port();
        let text = shipped("pgbouncer.ini");
        let mut text = replace(&text, "listen_port = 6432", &format!("listen_port = {own}"));
        text = replace(
            &text,
            "host=127.0.0.1 port=5432",
            &format!("host={} port={}", server.ip(), server.port()),
        );
        let (folder, file) = folder_with("pgbouncer.ini", "");
        let users = folder.join("userlist.txt");
        std::fs::write(&users, "\"postgres\" \"\"\n").expect("a file");
        text = replace(&text, "/etc/pgbouncer/userlist.txt", users.to_str().expect("UTF-8"));
        for (name, value) in changes {
            // The last value of a setting counts.
            text.push_str(&format!("{name} = {value}\n"));
        }
        std::fs::write(&file, text).expect("a file");
        let file = file.to_str().expect("UTF-8");
        let mut arguments = vec!["-q", file];
        if nix::unistd::geteuid().is_root() {
            // PgBouncer refuses to run as root.
            arguments.extend(["-u", "postgres"]);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&folder, mode).expect("permissions");
        }
        let address = SocketAddr::from(([127, 0, 0, 1], own));
        let process = start("pgbouncer", &arguments, &folder, address).await;
        Self { process, address }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}
