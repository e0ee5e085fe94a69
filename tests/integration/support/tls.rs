//! A PostgreSQL server that speaks TLS, its authorities, and the outcome of a connection by libpq
//! and by the relay.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use progress_relay::database::{Connector, Environment, Target};
use tokio::process::Command;

use super::authority::{Authority, Form, Issued, joined, key, self_signed, text};
use super::stage::{Cluster, DATABASE};

/// The name of the server in its certificates. It is not looked up: each URL has the address.
pub const HOST: &str = "db.example";
/// The databases beside [`DATABASE`], which accepts encrypted connections only: one that accepts
/// both kinds, and one that accepts only those that are not encrypted.
pub const EITHER: &str = "either";
pub const PLAIN: &str = "plain";

/// How each database and role is let in.
const RULES: &str = "
local all all trust
hostssl all by_certificate all cert
hostssl all by_name all trust clientcert=verify-full
hostssl all by_password all scram-sha-256
host either by_password all scram-sha-256
hostssl either by_both all scram-sha-256
hostnossl either by_both all trust
hostssl progress,either postgres all trust
hostnossl either,plain postgres all trust
";

/// What came of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Refused,
    Clear,
    Encrypted,
}

/// A server with certificates.
pub struct TlsServer {
    pub cluster: Cluster,
    /// The folder of all certificates.
    pub folder: PathBuf,
    /// The authority of the server's certificates and the clients'.
    pub root: Authority,
    /// An authority that has signed nothing of the server's.
    pub other: Authority,
    /// An authority below the root.
    pub intermediate: Authority,
    /// The key of all certificates of the server.
    key: PathBuf,
}

impl TlsServer {
    /// A server with the certificate `right`.
    pub async fn start() -> Self {
        let cluster = Cluster::primary("tls").await;
        let folder = cluster.folder().join("tls");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))
            .expect("permissions");
        let root = Authority::root(&folder, "root");
        let other = Authority::root(&folder, "other");
        let intermediate = root.intermediate("intermediate");
        let key = key(&folder, "server", "P-256");
        cluster.hand_over(&key);
        let server = Self { cluster, folder, root, other, intermediate, key };
        let right = server.certificate("right", &format!("subjectAltName=DNS:{HOST}"));
        let admin = server.cluster.session("postgres").await;
        for sql in [
            "CREATE DATABASE either",
            "CREATE DATABASE plain",
            "CREATE ROLE by_certificate LOGIN SUPERUSER",
            "CREATE ROLE by_name LOGIN",
            "CREATE ROLE by_both LOGIN PASSWORD 'secret'",
            "CREATE ROLE by_password LOGIN SUPERUSER PASSWORD 'secret'",
        ] {
            admin.batch_execute(sql).await.expect(sql);
        }
        server.cluster.write_rules(RULES);
        server.cluster.set("ssl_ca_file", text(&server.root.certificate())).await;
        server.cluster.set("ssl_key_file", text(&server.key)).await;
        server.present(&right).await;
        server.cluster.set("ssl", "on").await;
        server
    }

    /// A certificate of the server, signed by the root.
    pub fn certificate(&self, name: &str, extensions: &str) -> PathBuf {
        self.certificate_of(name, &Form { subject: "/CN=server", extensions, days: None })
    }

    /// A certificate of the server in this form, signed by the root.
    pub fn certificate_of(&self, name: &str, form: &Form<'_>) -> PathBuf {
        self.root.issue_for(name, form, self.key.clone()).certificate
    }

    /// A certificate signed by the intermediate authority, and that one's.
    pub fn chain(&self, name: &str) -> PathBuf {
        let form =
            Form { subject: "/CN=server", extensions: "subjectAltName=DNS:db.example", days: None };
        let own = self.intermediate.issue_for(name, &form, self.key.clone());
        let whole = self.folder.join(format!("{name}.chain"));
        joined(&whole, &[&own.certificate, &self.intermediate.certificate()])
    }

    /// A certificate that the server has signed itself.
    pub fn self_signed(&self, name: &str) -> PathBuf {
        self_signed(&self.folder, name, HOST, self.key.clone(), "-sha256").certificate
    }

    /// Makes new connections see a self-signed certificate of another key.
    pub async fn present_self_signed(&self, name: &str, kind: &str, digest: &str) {
        let own = key(&self.folder, name, kind);
        self.cluster.hand_over(&own);
        let issued = self_signed(&self.folder, name, HOST, own, digest);
        self.cluster.set("ssl_key_file", text(&issued.key)).await;
        self.present(&issued.certificate).await;
    }

    /// A client's certificate for the role `role`, signed by `authority`.
    pub fn client(&self, authority: &Authority, name: &str, role: &str) -> Issued {
        let form = Form { subject: &format!("/CN={role}"), extensions: "", days: None };
        authority.issue(name, &form)
    }

    /// Makes new connections see this certificate.
    pub async fn present(&self, certificate: &Path) {
        self.cluster.set("ssl_cert_file", text(certificate)).await;
    }

    /// A connection string for a role and a database of this server.
    pub fn url(&self, role: &str, database: &str, rest: &str) -> String {
        let port = self.cluster.port();
        format!("hostaddr=127.0.0.1 port={port} user={role} dbname={database} {rest}")
    }

    /// The beginning of a connection string by which a relay works: verified by this file.
    pub fn relay_url(&self, role: &str, roots: &Path) -> String {
        let rest = format!("host={HOST} sslmode=verify-full sslrootcert={}", text(roots));
        self.url(role, DATABASE, &rest)
    }
}

/// What comes of a connection by psql, and its words if it is refused.
pub async fn by_psql(url: &str) -> (Outcome, String) {
    let mut command = Command::new("psql");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(&name);
        }
    }
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let arguments = ["-X", "-A", "-t", "-w", "-c", sql, url];
    let command = command.args(arguments).env("HOME", "/nonexistent").stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await.expect("psql");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.stdout.trim_ascii() {
        b"t" => (Outcome::Encrypted, said),
        b"f" => (Outcome::Clear, said),
        _ => (Outcome::Refused, said),
    }
}

/// What comes of a connection by the relay, and its words if it is refused.
pub async fn by_relay(url: &str) -> (Outcome, String) {
    let target = match Target::parse(url, &Environment::of_process()) {
        Ok(target) => target,
        Err(error) => return (Outcome::Refused, error.to_string()),
    };
    let connector = match Connector::to(&target) {
        Ok(connector) => connector,
        Err(error) => return (Outcome::Refused, error.to_string()),
    };
    match connector.connect("test").await {
        Ok(session) => {
            let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            let row = session.client.query_one(sql, &[]).await.expect("an answer");
            let outcome = if row.get(0) { Outcome::Encrypted } else { Outcome::Clear };
            (outcome, String::new())
        }
        Err(error) => (Outcome::Refused, error.to_string()),
    }
}
