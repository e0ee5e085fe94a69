//! The programs in examples/ against a real relay: each must print every event once and in order,
//! although its connection is cut, its relay replaced, and the program itself killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{Database, Proxy, Relay, data_folder, event, origin, text, until, within};

/// A running example.
struct Example {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    errors: Arc<Mutex<String>>,
}

impl Example {
    fn start(program: &[&str], url: &str, cursor_file: &Path) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args([url, "default"]).arg(cursor_file);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = command.kill_on_drop(true).spawn();
        let mut process = started.unwrap_or_else(|error| panic!("{program:?}: {error}"));
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut log = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let errors = Arc::new(Mutex::new(String::new()));
        let collected = Arc::clone(&errors);
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                collected.lock().expect("errors").push_str(&(line + "\n"));
            }
        });
        Self { process, lines, errors }
    }

    fn errors(&self) -> String {
        self.errors.lock().expect("errors").clone()
    }

    /// The marks of its next lines, up to the mark `last`.
    async fn until(&mut self, last: i64) -> Vec<i64> {
        let mut marks = Vec::new();
        while marks.last() != Some(&last) {
            let line = within("a line of the example", self.lines.next_line()).await;
            let line = line.expect("stdout").unwrap_or_else(|| panic!("{}", self.errors()));
            let event: Value = serde_json::from_str(&line).expect("a line of JSON");
            marks.push(event["n"].as_i64().expect("a mark"));
        }
        marks
    }

    async fn kill(mut self) {
        self.process.kill().await.expect("a process to kill");
    }
}

/// Posts the events `from` to `to` one by one; returns the last one's cursor.
async fn post(relay: &Relay, from: i64, to: i64) -> String {
    let mut cursor = String::new();
    for n in from..=to {
        let answer = relay.post(&event(usize::try_from(n).expect("a mark"))).await;
        cursor = text(&answer, "cursor").to_owned();
    }
    cursor
}

/// Runs an example through everything that a subscriber meets.
async fn resumes(program: &[&str]) {
    let database = Database::new().await;
    let first = Relay::start(&database, &[]).await;
    let road = Proxy::to(&first.url).await;
    let folder = data_folder();
    std::fs::create_dir(&folder).expect("a folder");
    let cursor_file = folder.join("cursor");
    let begin = post(&first, 0, 0).await;
    std::fs::write(&cursor_file, origin(&begin)).expect("a cursor");
    let mut example = Example::start(program, &road.url(), &cursor_file);
    let mut marks = example.until(0).await;

    // The connection is cut, and events come before it is back.
    road.lead_to(&first.url);
    post(&first, 1, 20).await;
    marks.extend(example.until(20).await);

    // Another replica takes over from one that is killed.
    let second = Relay::start(&database, &[]).await;
    road.lead_to(&second.url);
    first.kill().await;
    let cursor = post(&second, 21, 40).await;
    marks.extend(example.until(40).await);

    // The program is killed once its cursor is written, and started again.
    until("the cursor to be written", || async {
        let written = std::fs::read_to_string(&cursor_file).ok()?;
        (written == cursor).then_some(())
    })
    .await;
    example.kill().await;
    post(&second, 41, 60).await;
    let mut example = Example::start(program, &road.url(), &cursor_file);
    marks.extend(example.until(60).await);
    assert_eq!(marks, (0..=60).collect::<Vec<_>>(), "{}", example.errors());
    example.kill().await;

    // A cursor that cannot be resumed is reported, and events from now on arrive.
    std::fs::write(&cursor_file, "nonsense").expect("a cursor");
    let mut example = Example::start(program, &road.url(), &cursor_file);
    until("the reset to be reported", || async {
        (example.errors().contains("reset") && example.errors().contains("malformed")).then_some(())
    })
    .await;
    post(&second, 61, 70).await;
    assert_eq!(example.until(70).await, (61..=70).collect::<Vec<_>>());
    example.kill().await;
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[tokio::test]
async fn the_python_subscriber_resumes() {
    resumes(&["python3", example("subscriber.py").to_str().expect("UTF-8")]).await;
}

#[tokio::test]
async fn the_javascript_subscriber_resumes() {
    resumes(&["node", example("subscriber.mjs").to_str().expect("UTF-8")]).await;
}

#[tokio::test]
async fn the_rust_subscriber_resumes() {
    // `cargo test` builds the examples; `cargo test --test integration` does not.
    let built = Path::new(env!("CARGO_BIN_EXE_progress-relay")).with_file_name("examples");
    let program = built.join("subscriber");
    assert!(program.exists(), "{program:?} is missing: cargo build --example subscriber");
    resumes(&[program.to_str().expect("UTF-8")]).await;
}
