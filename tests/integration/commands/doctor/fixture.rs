//! Databases on one durable server, and runs of the command.

use std::sync::atomic::{AtomicUsize, Ordering};

use progress_relay::database::Connector;
use progress_relay::migrate;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

use crate::support::run;
use crate::support::stage::{Cluster, DATABASE};

/// The server of these tests. It is durable: on the server of the other tests, `doctor` finds
/// wrong that `fsync` is off.
pub async fn cluster() -> &'static Cluster {
    static STARTED: OnceCell<Cluster> = OnceCell::const_new();
    STARTED
        .get_or_init(|| async {
            let cluster = Cluster::primary("doctor").await;
            cluster.set("fsync", "on").await;
            cluster
        })
        .await
}

/// A primary of one test, durable and migrated, with the database [`DATABASE`].
pub async fn own_cluster(name: &str) -> Cluster {
    let cluster = Cluster::primary(name).await;
    cluster.set("fsync", "on").await;
    migrate(&cluster.url()).await;
    cluster
}

pub async fn migrate(url: &str) {
    migrate::apply(&Connector::parse(url).expect("a URL")).await.expect("migrations");
}

/// A database of one test.
pub struct Installation {
    pub name: String,
    pub url: String,
}

impl Installation {
    /// A database without the relay's tables.
    pub async fn empty() -> Self {
        Self::with("").await
    }

    /// An empty database that is created with these options.
    pub async fn with(options: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let cluster = cluster().await;
        let name = format!("doctor_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0 {options}");
        cluster.session("postgres").await.batch_execute(&sql).await.expect("a database");
        Self { url: url_of(&cluster.url(), &name), name }
    }

    /// A database with the relay's tables.
    pub async fn new() -> Self {
        let installation = Self::empty().await;
        migrate(&installation.url).await;
        installation
    }

    /// A session on it.
    pub async fn client(&self) -> Client {
        cluster().await.session(&self.name).await
    }

    /// Runs SQL on it.
    pub async fn sql(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.expect("SQL");
    }

    /// Its URL by another address.
    pub fn url_by(&self, address: std::net::SocketAddr) -> String {
        format!("host={} port={} user=postgres dbname={}", address.ip(), address.port(), self.name)
    }
}

/// The URL of another database on the same server.
pub fn url_of(url: &str, database: &str) -> String {
    url.replace(&format!("dbname={DATABASE}"), &format!("dbname={database}"))
}

/// A run of `doctor --json`.
pub struct Examined {
    pub code: Option<i32>,
    findings: Vec<Value>,
}

/// Runs `doctor --json` with these flags.
pub async fn doctor(flags: &[&str]) -> Examined {
    let finished = run(&[&["doctor", "--json"], flags].concat(), &[]).await;
    let report: Value = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", finished.stdout, finished.stderr));
    let findings = report["findings"].as_array().expect("findings").clone();
    for verdict in ["right", "remark", "wrong", "unknown"] {
        let count = findings.iter().filter(|finding| finding["verdict"] == verdict).count();
        assert_eq!(report["summary"][verdict], count, "{report}");
    }
    let examined = Examined { code: finished.code, findings };
    let expected = i32::from(!examined.with("wrong").is_empty());
    assert_eq!(examined.code, Some(expected), "{report} {}", finished.stderr);
    examined
}

impl Examined {
    /// The checks with a finding of this verdict.
    pub fn with(&self, verdict: &str) -> Vec<&str> {
        let found = self.findings.iter().filter(|finding| finding["verdict"] == verdict);
        let mut checks: Vec<&str> = found.filter_map(|finding| finding["check"].as_str()).collect();
        checks.dedup();
        checks
    }

    /// The findings of a check with this verdict.
    pub fn of(&self, check: &str, verdict: &str) -> Vec<&Value> {
        let is_meant =
            |finding: &&Value| finding["check"] == check && finding["verdict"] == verdict;
        self.findings.iter().filter(is_meant).collect()
    }

    /// What a check has found with this verdict. It must have found something.
    pub fn what(&self, check: &str, verdict: &str) -> String {
        let found = self.of(check, verdict);
        assert!(!found.is_empty(), "{check} is not {verdict}: {:#?}", self.findings);
        let texts = found.iter().filter_map(|finding| finding["what"].as_str());
        texts.collect::<Vec<_>>().join("\n")
    }

    /// All checks.
    pub fn checks(&self) -> Vec<&str> {
        let mut checks: Vec<&str> =
            self.findings.iter().filter_map(|finding| finding["check"].as_str()).collect();
        checks.dedup();
        checks
    }
}

/// Runs the command, which must find that this check is wrong, and `also` no others than these.
/// Returns what it found.
pub async fn assert_wrong(check: &str, also: &[&str], flags: &[&str]) -> String {
    let examined = doctor(flags).await;
    let what = examined.what(check, "wrong");
    assert_eq!(examined.code, Some(1));
    for finding in examined.of(check, "wrong") {
        let to_do = finding["to_do"].as_str().unwrap_or_default();
        assert!(!to_do.is_empty(), "{check} does not say what to do: {what}");
    }
    let wrong = examined.with("wrong");
    let others: Vec<_> = wrong.iter().filter(|id| **id != check && !also.contains(*id)).collect();
    assert!(others.is_empty(), "{others:?} too: {:#?}", examined.findings);
    what
}

/// Runs the command, which must remark on this check, and find nothing wrong.
pub async fn assert_remark(check: &str, flags: &[&str]) -> String {
    let examined = doctor(flags).await;
    assert_eq!(examined.with("wrong"), [""; 0], "{:#?}", examined.findings);
    for finding in examined.of(check, "remark") {
        assert!(finding["to_do"].is_string(), "{finding}");
    }
    examined.what(check, "remark")
}
