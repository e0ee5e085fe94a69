//! Measurements: not run by `make test`, each a command of the Makefile that prints what it found.

mod churn;
mod hostile;
mod memory;
mod names;
mod peers;
mod summary;

use std::time::Duration;

use progress_relay::client::BaseUrl;
use progress_relay::client::http::Connection;

/// Open descriptors of a process.
fn descriptors(pid: nix::unistd::Pid) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("/proc").count()
}

/// A gauge of `/metrics`.
async fn gauge(url: &BaseUrl, name: &str) -> i64 {
    let mut connection = Connection::open(url).await.expect("a connection");
    let response = connection.get("/metrics").await.expect("an answer");
    let text = String::from_utf8_lossy(&response.body).into_owned();
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
}

/// The value below which `part` of them lie.
fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let index = ((sorted.len() as f64 - 1.0) * part).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
