//! Relays and other runs of the program, as processes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use progress_relay::client::BaseUrl;
use progress_relay::client::http::{Connection, Response};
use progress_relay::client::ws::Subscriber;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::postgres::{Database, entrust_process};
use super::secrecy::assert_no_secrets;
use super::{PATIENCE, until, within};

const PROGRAM: &str = env!("CARGO_BIN_EXE_progress-relay");

/// How long a relay that ends may take to answer.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// How long the token for the last metrics is good: longer than any test.
const LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// The program, without the variables of this environment that would configure it.
fn command(by: &[String]) -> Command {
    let mut words = by.iter().map(String::as_str).chain([PROGRAM]);
    let mut command = Command::new(words.next().unwrap_or(PROGRAM));
    command.args(words);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["RELAY_", "DATABASE_URL", "PG", "JUPYTERHUB_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The output and the exit code of a run of the program.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Starts the program, which ends with this run of the tests at the latest.
fn spawn(arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    spawn_by(&[], arguments, environment)
}

/// Starts the program through the command `by`.
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
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_no_secrets(&format!("stderr of {:?}", arguments.first()), &stderr);
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr,
    }
}

/// A running `serve`.
pub struct Relay {
    process: Child,
    pub url: BaseUrl,
    log: Arc<Mutex<String>>,
    /// The errors that it has told its clients: see [`super::secrecy`].
    answers: Arc<Mutex<String>>,
    /// The request for its metrics, as an operator.
    metrics: String,
}

impl Relay {
    /// Starts a relay on this database and waits until it is ready.
    pub async fn start(database: &Database, flags: &[&str]) -> Self {
        let url = database.url();
        Self::serve(&[&["--database-url", &url], flags].concat()).await
    }

    /// Starts a relay with these flags, on a free port unless they name one, and waits until it is
    /// ready.
    pub async fn serve(flags: &[&str]) -> Self {
        let relay = Self::begin(flags).await;
        relay.ready().await;
        relay
    }

    /// Starts a relay and waits until it listens, whether or not it is ready.
    pub async fn begin(flags: &[&str]) -> Self {
        Self::begin_by(&[], flags).await
    }

    /// Starts a relay through the command `by` and waits until it listens.
    pub async fn begin_by(by: &[String], flags: &[&str]) -> Self {
        let bind: &[&str] =
            if flags.contains(&"--bind") { &[] } else { &["--bind", "127.0.0.1:0"] };
        let metrics = metrics_request(flags);
        let flags = with_answers(flags);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let mut process = spawn_by(by, &[&["serve"], bind, &flags].concat(), &[]);
        let (log, answers) = collect(process.stderr.take().expect("a pipe"));
        let mut stdout = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, stdout.read_line(&mut line)).await;
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| {
            panic!("serve did not begin ({read:?}, {line:?}): {}", log.lock().expect("a log"))
        });
        // Read to the end, so that later output does not fill the pipe.
        let mut rest = stdout;
        // This client speaks no TLS: the tests of it bring their own.
        let url = BaseUrl::parse(&url.replace("https://", "http://")).expect("a URL");
        tokio::spawn(async move { rest.read_to_end(&mut Vec::new()).await });
        Self { process, url, log, answers, metrics }
    }

    /// Waits until `/readyz` answers 200.
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

    /// Posts events, which must be answered 200, and returns the answer.
    pub async fn post(&self, events: &Value) -> Value {
        let response = self.try_post(events).await;
        assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
        response.json().expect("an answer")
    }

    /// Posts a body on a new connection, whatever the answer is.
    pub async fn try_post(&self, body: &Value) -> Response {
        let mut connection = self.connection().await;
        connection.post_json("/student-progress", body.to_string()).await.expect("an answer")
    }

    /// Subscribes to new events, or to those after `cursor`.
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

    /// Waits until the process has ended.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        match tokio::time::timeout(within, self.process.wait()).await {
            Ok(status) => status.expect("a status"),
            Err(_) => panic!("it did not end within {within:?}: {}", self.log()),
        }
    }

    /// Kills the process and waits for its end.
    pub async fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.ended(PATIENCE).await;
    }

    /// The errors that it has told its clients so far.
    pub fn answers(&self) -> String {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its metrics, if it answers: a relay at its end may be stopped, or speak TLS.
    pub fn last_metrics(&self) -> std::io::Result<String> {
        let address = self.url.authority().parse().map_err(std::io::Error::other)?;
        let mut stream = TcpStream::connect_timeout(&address, LAST_PATIENCE)?;
        stream.set_read_timeout(Some(LAST_PATIENCE))?;
        stream.write_all(self.metrics.as_bytes())?;
        let mut answer = Vec::new();
        // What came before an error counts too.
        let read = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if answer.is_empty() { read.map(|_| answer) } else { Ok(answer) }
    }

    /// The log so far.
    pub fn log(&self) -> String {
        // The lock is poisoned if a test panicked while it held it; the text is good all the same.
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many times this replica was elected to write the snapshots.
    pub fn terms_as_leader(&self) -> usize {
        self.log().matches("this replica is the leader").count()
    }

    /// Its resident memory in bytes.
    pub fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// Its largest resident memory so far, in bytes.
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
    /// Kills the process and waits for its end, so that it does not disturb the next step of a
    /// test. Prints the log if the test has failed, and fails a test whose log has secrets in it.
    fn drop(&mut self) {
        let metrics = match self.process.try_wait() {
            Ok(None) if !std::thread::panicking() => self.last_metrics().unwrap_or_default(),
            _ => String::new(),
        };
        let _ = self.process.start_kill();
        let begin = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        if std::thread::panicking() {
            eprintln!("--- the log of the relay at {} ---\n{}---", self.url, self.log());
        } else {
            // So every test looks for secrets, whatever it is about.
            assert_no_secrets("the log of the relay", &self.log());
            assert_no_secrets("an answer of the relay", &self.answers());
            assert_no_secrets("the metrics of the relay", &metrics);
        }
    }
}

/// A running `tail --json`.
pub struct Tail {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: Arc<Mutex<String>>,
}

impl Tail {
    /// Starts a tail of this class at this URL, after a cursor.
    pub fn start(url: &str, class: &str, cursor: &str) -> Self {
        Self::start_in(url, class, cursor, &[])
    }

    /// The same, with these variables.
    pub fn start_in(url: &str, class: &str, cursor: &str, environment: &[(&str, &str)]) -> Self {
        let arguments = ["tail", "--json", "--url", url, "--class", class, "--cursor", cursor];
        let mut process = spawn(&arguments, environment);
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let (stderr, _) = collect(process.stderr.take().expect("a pipe"));
        Self { process, lines, stderr }
    }

    /// Reads lines of JSON up to the event marked `last`.
    pub async fn until(&mut self, last: i64) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        while events.last().is_none_or(|event| event["n"] != last) {
            let line = within("a line of tail", self.lines.next_line()).await.expect("stdout");
            let line = line.unwrap_or_else(|| panic!("tail has ended: {}", self.stderr()));
            events.push(
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")),
            );
        }
        events
    }

    /// Its stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("the lines").clone()
    }

    /// Sends SIGINT, as Ctrl-C does, and returns the exit code.
    pub async fn interrupt(mut self) -> Option<i32> {
        let pid = self.process.id().expect("it runs").try_into().expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGINT).expect("a process to signal");
        within("tail to end", self.process.wait()).await.expect("a status").code()
    }
}

/// The target of the lines in which a relay logs what it has told its clients of errors.
const ANSWERS: &str = "progress_relay::answers";

/// The flags, with these lines in the log.
fn with_answers(flags: &[&str]) -> Vec<String> {
    let mut flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    match flags.iter().position(|flag| flag == "--log") {
        Some(at) => flags[at + 1] += &format!(",{ANSWERS}=trace"),
        None => flags.extend(["--log".to_owned(), format!("info,{ANSWERS}=trace")]),
    }
    flags
}

/// A request for the metrics of a relay with these flags, by an operator's token if the relay
/// verifies tokens by a secret.
fn metrics_request(flags: &[&str]) -> String {
    let value = |flag: &str| {
        let at = flags.iter().position(|given| *given == flag)?;
        flags.get(at + 1).copied()
    };
    let token = value("--jwt-secret-file").and_then(|file| std::fs::read(file).ok());
    let token = token.map(|secret| {
        let end = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time") + LIFETIME;
        let claims = serde_json::json!({ "sub": "end", "role": "operator", "exp": end.as_secs() });
        let key = jsonwebtoken::EncodingKey::from_secret(secret.trim_ascii_end());
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key);
        format!("Authorization: Bearer {}\r\n", token.expect("a token"))
    });
    let base = value("--base-path").unwrap_or_default().trim_end_matches('/').to_owned();
    format!(
        "GET {base}/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n",
        token.unwrap_or_default()
    )
}

/// Collects the lines of a pipe; what clients were told apart from the others.
fn collect(
    pipe: impl AsyncRead + Send + Unpin + 'static,
) -> (Arc<Mutex<String>>, Arc<Mutex<String>>) {
    let (log, answers): (Arc<Mutex<String>>, Arc<Mutex<String>>) = Default::default();
    let writing = [Arc::clone(&log), Arc::clone(&answers)];
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let place = &writing[usize::from(line.contains(ANSWERS))];
            let mut collected = place.lock().unwrap_or_else(PoisonError::into_inner);
            collected.push_str(&line);
            collected.push('\n');
        }
    });
    (log, answers)
}
