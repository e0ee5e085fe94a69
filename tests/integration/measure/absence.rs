//! `make absence`: a student works for a real hour while the relay is away, and for ten minutes in
//! a network that is dead.
//!
//! A real kernel runs cells all the time, with the client's own waits. In the hour it is restarted
//! once and killed once. After it, the table holds each run exactly once, in order.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{mib, quantile};
use crate::support::kernel::{Home, Kernel, package, python};
use crate::support::stage::{Netns, port};
use crate::support::{Database, Relay};

/// Between the cells: a class of quick typists.
const PAUSE: Duration = Duration::from_millis(200);
/// What the relay gets before it goes away.
const BEFORE: Duration = Duration::from_secs(20);
/// How long the table may take to have everything: the client's longest wait is a minute.
const RETURN: Duration = Duration::from_secs(300);
/// The client's own bound for the spool.
const SPOOL: u64 = 64 << 20;
/// What a kernel may grow by in the hour, IPython's history of code and output included.
const GROWTH: usize = 100 << 20;

/// A student at work.
struct Student {
    home: Home,
    by: Vec<String>,
    url: String,
    kernel: Kernel,
    pid: u32,
    /// The code of each run, in order.
    codes: Vec<String>,
    /// How long each cell took, as the front end sees it.
    times: Vec<Duration>,
    largest_spool: u64,
    growth: usize,
}

impl Student {
    /// Starts a kernel by a command that ends with the Python. The package is copied, so that the
    /// sources may be edited meanwhile.
    async fn start(by: Vec<String>, url: String) -> Self {
        let home = Home::new();
        let copied = Command::new("cp").arg("-r").arg(package().join("src")).arg(&home.folder);
        assert!(copied.status().expect("cp").success());
        let kernel = kernel(&home, &by, &url).await;
        let mut student = Self {
            home,
            by,
            url,
            kernel,
            pid: 0,
            codes: Vec::new(),
            times: Vec::new(),
            largest_spool: 0,
            growth: 0,
        };
        student.look_up().await;
        student
    }

    /// Learns the kernel's process.
    async fn look_up(&mut self) {
        let code = "import os; os.getpid()".to_owned();
        let outputs = self.kernel.run(&code).await;
        let pid = outputs[0]["data"]["text/plain"].as_str().expect("an id");
        self.pid = pid.parse().expect("a number");
        self.codes.push(code);
    }

    /// Runs cells for so long.
    async fn work(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        let before = self.resident();
        while Instant::now() < end {
            let code = cell(self.codes.len());
            let begin = Instant::now();
            let outputs = self.kernel.run(&code).await;
            self.times.push(begin.elapsed());
            // Its own, and nothing of the client's.
            assert_eq!(outputs.len(), 1, "{code}: {outputs:?}");
            self.codes.push(code);
            if self.codes.len().is_multiple_of(50) {
                self.largest_spool = self.largest_spool.max(self.spooled());
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.growth = self.growth.max(self.resident().saturating_sub(before));
    }

    async fn restart(&mut self) {
        self.kernel.restart().await;
        self.look_up().await;
    }

    /// Kills the kernel, and starts another one.
    async fn crash(&mut self) {
        let next = kernel(&self.home, &self.by, &self.url).await;
        std::mem::replace(&mut self.kernel, next).kill().await;
        self.look_up().await;
    }

    fn resident(&self) -> usize {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid)).expect("/proc");
        let pages = statm.split_whitespace().nth(1).expect("a size");
        pages.parse::<usize>().expect("a number") * 4096
    }

    /// The folder of this student's runs.
    fn folder(&self) -> PathBuf {
        let folders = fs::read_dir(self.home.spool()).expect("a spool");
        folders.filter_map(|entry| Some(entry.ok()?.path())).next().expect("a folder")
    }

    /// The bytes of the segments in the spool.
    fn spooled(&self) -> u64 {
        let files = fs::read_dir(self.folder()).expect("a folder");
        files.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
    }

    /// Waits for the table to have every run, and asserts what it has.
    async fn finish(mut self, what: &str, database: &Database) {
        let waiting = self.kernel.progress().await;
        println!("{what}: {} runs, then\n{waiting}", self.codes.len());
        let client = database.client().await;
        let returned = Instant::now();
        let query = "SELECT event_id::text, body->>'code' FROM progress_event
             WHERE body->>'eventType' = 'cell_executed' ORDER BY id";
        let rows = loop {
            let rows = client.query(query, &[]).await.expect("rows");
            if rows.len() >= self.codes.len() {
                break rows;
            }
            assert!(returned.elapsed() < RETURN, "{} of {}", rows.len(), self.codes.len());
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let took = returned.elapsed();
        let ids: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let codes: Vec<String> = rows.iter().map(|row| row.get(1)).collect();
        assert_eq!(ids.len(), self.codes.len(), "each once");
        for (number, (stored, typed)) in codes.iter().zip(&self.codes).enumerate() {
            assert_eq!(stored, typed, "run {number} is in its place");
        }
        for name in ["lost.jsonl", "refused.jsonl"] {
            assert!(!self.folder().join(name).exists(), "{name}");
        }
        self.times.sort_unstable();
        println!(
            "{what}: {} rows for {} runs, in order, {:.1} s after it ended; the spool had at most \
             {:.1} MiB, a kernel grew by at most {:.1} MiB; a cell took {:.1} ms, p99 {:.1} ms",
            rows.len(),
            self.codes.len(),
            took.as_secs_f64(),
            mib(usize::try_from(self.largest_spool).expect("a size")),
            mib(self.growth),
            quantile(&self.times, 0.5).as_secs_f64() * 1000.0,
            quantile(&self.times, 0.99).as_secs_f64() * 1000.0,
        );
        assert!(self.largest_spool < SPOOL, "the spool had {} bytes", self.largest_spool);
        assert!(self.growth < GROWTH, "the kernel grew by {} bytes", self.growth);
        let folder = self.folder();
        self.kernel.shut_down().await;
        assert_eq!(fs::read_dir(folder).expect("a folder").count(), 0, "nothing is left");
    }
}

async fn kernel(home: &Home, by: &[String], url: &str) -> Kernel {
    let source = home.folder.join("src").display().to_string();
    // The client's own longest wait.
    let variables = [("PYTHONPATH", &*source), ("RELAY_LONGEST_WAIT", "")];
    home.kernel_by(by, url, &variables).await
}

/// What a student types. Each cell has one output.
fn cell(number: usize) -> String {
    match number % 6 {
        0 => format!("print('こんにちは {number}')"),
        1 => format!("1 / 0  # {number}"),
        2 => format!("'あ' * 2000  # {number}"),
        3 => format!("x = = {number}"),
        4 => format!("# {}\n{number}", "a comment ".repeat(150)),
        _ => format!("'run {number}'"),
    }
}

fn minutes(name: &str, default: u64) -> Duration {
    let minutes = std::env::var(name).ok().and_then(|text| text.parse().ok());
    Duration::from_secs(60 * minutes.unwrap_or(default))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: make absence"]
async fn the_relay_is_away() {
    let away = minutes("ABSENCE_MINUTES", 60);
    let database = Database::new().await;
    let bind = format!("127.0.0.1:{}", port());
    let relay = Relay::start(&database, &["--bind", &bind]).await;
    let by = vec![python().display().to_string()];
    let mut student = Student::start(by, relay.url.to_string()).await;
    student.work(BEFORE).await;
    relay.kill().await;
    let begin = Instant::now();
    student.work(away / 3).await;
    student.restart().await;
    student.work(away / 3).await;
    student.crash().await;
    student.work(away.saturating_sub(begin.elapsed())).await;
    let _relay = Relay::start(&database, &["--bind", &bind]).await;
    println!("the relay was away for {:.1} min", begin.elapsed().as_secs_f64() / 60.0);
    student.finish("the relay away", &database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: make absence"]
async fn the_network_is_dead() {
    let asleep = minutes("ASLEEP_MINUTES", 10);
    let Some(laptop) = Netns::new() else { return };
    let database = Database::new().await;
    let bind = format!("{}:0", laptop.outside);
    let relay = Relay::start(&database, &["--bind", &bind, "--insecure"]).await;
    let mut by = laptop.prefix().to_vec();
    by.push(python().display().to_string());
    let mut student = Student::start(by, relay.url.to_string()).await;
    student.work(BEFORE).await;
    laptop.cut();
    let begin = Instant::now();
    student.work(asleep).await;
    laptop.mend();
    println!("the network was dead for {:.1} min", begin.elapsed().as_secs_f64() / 60.0);
    student.finish("the network dead", &database).await;
}
