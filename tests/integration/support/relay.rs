//! Relays, and other runs of the program, as processes.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use progress_relay::http::client::BaseUrl;
use progress_relay::http::client::http::{Connection, Response};
use progress_relay::http::client::ws::Subscriber;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::postgres::Database;
use super::{PATIENCE, until, within};

const PROGRAM: &str = env!("CARGO_BIN_EXE_progress-relay");

/// The program with nothing of this environment that would configure it.
fn command() -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("RELAY_") || text == "DATABASE_URL" {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// What a run of the program said, and how it ended.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program to its end.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let mut command = command();
    command.args(arguments).envs(environment.iter().copied());
    let output = within(&format!("{arguments:?} to end"), command.output()).await.expect("a program");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A `serve` that serves. Killed on drop.
pub struct Relay {
    process: Child,
    pub url: BaseUrl,
    log: Arc<Mutex<String>>,
}

impl Relay {
    /// On a database, ready.
    pub async fn start(database: &Database, flags: &[&str]) -> Self {
        let url = database.url();
        Self::serve(&[&["--database-url", &url], flags].concat()).await
    }

    /// With these flags, on a free port unless they name one, ready.
    pub async fn serve(flags: &[&str]) -> Self {
        let bind: &[&str] = if flags.contains(&"--bind") { &[] } else { &["--bind", "127.0.0.1:0"] };
        let mut process = command().arg("serve").args(bind).args(flags).spawn().expect("the program");
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let said = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                let mut said = said.lock().expect("a log");
                said.push_str(&line);
                said.push('\n');
            }
        });
        let mut stdout = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, stdout.read_line(&mut line)).await;
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| {
            panic!("serve did not begin ({read:?}, {line:?}): {}", log.lock().expect("a log"))
        });
        // Whatever else it might print must not fill the pipe.
        let mut rest = stdout;
        let url = BaseUrl::parse(url).expect("a URL");
        tokio::spawn(async move { rest.read_to_end(&mut Vec::new()).await });
        let relay = Self { process, url, log };
        relay.ready().await;
        relay
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) {
        until("readiness", || async {
            let response = self.connection().await.get("/readyz").await.ok()?;
            (response.status == 200).then_some(())
        })
        .await;
    }

    pub async fn connection(&self) -> Connection {
        Connection::open(&self.url).await.expect("a relay that accepts")
    }

    /// Posts events, which must be taken; returns the answer.
    pub async fn post(&self, events: &Value) -> Value {
        let response = self.try_post(events).await;
        assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
        response.json().expect("an answer")
    }

    /// Posts whatever it is, on a connection of its own.
    pub async fn try_post(&self, body: &Value) -> Response {
        let mut connection = self.connection().await;
        connection.post_json("/student-progress", body.to_string()).await.expect("an answer")
    }

    /// Subscribes, to what comes from now on or what follows `cursor`.
    pub async fn subscribe(&self, classes: &[&str], cursor: Option<&str>) -> Subscriber {
        let classes: Vec<String> = classes.iter().map(|&class| class.to_owned()).collect();
        Subscriber::connect(&self.url, &classes, cursor).await.expect("a subscription")
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().expect("it runs").try_into().expect("a pid"))
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("a process to signal");
    }

    /// Waits for its end.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        match tokio::time::timeout(within, self.process.wait()).await {
            Ok(status) => status.expect("a status"),
            Err(_) => panic!("it did not end within {within:?}: {}", self.log()),
        }
    }

    /// SIGKILL, and waits for it.
    pub async fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.ended(PATIENCE).await;
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("a log").clone()
    }

    /// Its resident memory in bytes.
    pub fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("/proc");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let kib: usize = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        kib * 1024
    }

    /// `tail --json` on it, until `count` events have come; its lines.
    pub async fn tail_json(&self, class: &str, cursor: &str, count: usize) -> Vec<Value> {
        let url = self.url.to_string();
        let mut tail = command()
            .args(["tail", "--json", "--url", &url, "--class", class, "--cursor", cursor])
            .spawn()
            .expect("tail");
        let mut lines = BufReader::new(tail.stdout.take().expect("a pipe")).lines();
        let mut events = Vec::new();
        while events.len() < count {
            let line = within("a line of tail", lines.next_line()).await.expect("stdout").expect("a line");
            events.push(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")));
        }
        events
    }
}
