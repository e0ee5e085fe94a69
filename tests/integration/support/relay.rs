//! Relays, and other runs of the program, as processes.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use progress_relay::client::BaseUrl;
use progress_relay::client::http::{Connection, Response};
use progress_relay::client::ws::Subscriber;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::postgres::{Database, entrust_process};
use super::{PATIENCE, until, within};

const PROGRAM: &str = env!("CARGO_BIN_EXE_progress-relay");

/// The program with nothing of this environment that would configure it.
fn command(by: &[String]) -> Command {
    let mut words = by.iter().map(String::as_str).chain([PROGRAM]);
    let mut command = Command::new(words.next().unwrap_or(PROGRAM));
    command.args(words);
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

/// Starts the program; it ends with this run, if not before.
fn spawn(arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    spawn_by(&[], arguments, environment)
}

/// The same, by way of a program that runs another.
fn spawn_by(by: &[String], arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    let mut command = command(by);
    let process =
        command.args(arguments).envs(environment.iter().copied()).spawn().expect("the program");
    entrust_process(process.id().expect("it was just started"));
    process
}

/// Runs the program to its end.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let ended = spawn(arguments, environment).wait_with_output();
    let output = within(&format!("{arguments:?} to end"), ended).await.expect("its output");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A `serve` that serves.
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
        let relay = Self::begin(flags).await;
        relay.ready().await;
        relay
    }

    /// The same, listening, ready or not.
    pub async fn begin(flags: &[&str]) -> Self {
        Self::begin_by(&[], flags).await
    }

    /// The same, by way of a program that runs another.
    pub async fn begin_by(by: &[String], flags: &[&str]) -> Self {
        let bind: &[&str] =
            if flags.contains(&"--bind") { &[] } else { &["--bind", "127.0.0.1:0"] };
        let mut process = spawn_by(by, &[&["serve"], bind, flags].concat(), &[]);
        let log = collect(process.stderr.take().expect("a pipe"));
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
        Self { process, url, log }
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
        // Also while a test panics that holds it.
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its resident memory in bytes.
    pub fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most that it ever was.
    pub fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> usize {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("/proc");
        let line = status.lines().find(|line| line.starts_with(name)).expect("a line of /proc");
        let kib: usize =
            line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        kib * 1024
    }
}

impl Drop for Relay {
    /// Kills it and waits until it is gone, so that nothing of it meets what the test does next;
    /// says what it logged if the test failed.
    fn drop(&mut self) {
        let _ = self.process.start_kill();
        let begin = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        if std::thread::panicking() {
            eprintln!("--- the log of the relay at {} ---\n{}---", self.url, self.log());
        }
    }
}

/// A `tail --json` that runs.
pub struct Tail {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Arc<Mutex<String>>,
}

impl Tail {
    /// Of a class, after a cursor, at this URL.
    pub fn start(url: &str, class: &str, cursor: &str) -> Self {
        let arguments = ["tail", "--json", "--url", url, "--class", class, "--cursor", cursor];
        let mut process = spawn(&arguments, &[]);
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let said = collect(process.stderr.take().expect("a pipe"));
        Self { process, lines, said }
    }

    /// Its lines up to the event marked `last`, as JSON.
    pub async fn until(&mut self, last: i64) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        while events.last().is_none_or(|event| event["n"] != last) {
            let line = within("a line of tail", self.lines.next_line()).await.expect("stdout");
            let line = line.unwrap_or_else(|| panic!("tail has ended: {}", self.said()));
            events.push(
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")),
            );
        }
        events
    }

    /// What it has said on stderr so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("what it said").clone()
    }

    /// Interrupts it, as Ctrl-C does; returns its exit code.
    pub async fn interrupt(mut self) -> Option<i32> {
        let pid = self.process.id().expect("it runs").try_into().expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGINT).expect("a process to signal");
        within("tail to end", self.process.wait()).await.expect("a status").code()
    }
}

/// Takes a process's lines as they come.
fn collect(pipe: impl AsyncRead + Send + Unpin + 'static) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let collected = Arc::clone(&said);
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut said = collected.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    });
    said
}
