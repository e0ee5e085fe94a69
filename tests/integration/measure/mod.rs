//! Measurements. `make test` leaves them out; each is a command of the Makefile and prints its
//! figures.

// Leaks after connections came, went and vanished for ten minutes: `make churn`.
mod churn;
// The cost of a summary while the history of its class grows: `make cost`.
mod cost;
// Every fault at full scale, in one table: `make faults`.
mod faults_table;
// How soon the page shows a class and a raised hand, and how long its frames take: `make frames`.
mod frames;
// A class at work beside 500 hostile peers: `make hostile`.
mod hostile;
// The memory of a dashboard after it has received bursts: `make memory`.
mod memory;
// The memory of classes whose names are as long as the limits allow: `make names`.
mod names;
// The heap of a page that is open all day: `make page-day`.
mod page_day;
// The hostile peers that `hostile` and `churn` start.
mod peers;
// A class at work while dashboards ask for the largest class that the limits allow: `make summary`.
mod summary;
// A class with a year of lessons beside one with a day of them: `make year`.
mod year;

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
