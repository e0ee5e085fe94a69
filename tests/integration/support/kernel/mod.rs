//! Real IPython kernels, and the Jupyter servers in which students' browsers run them.
//!
//! `scripts/setup clients` installs the packages of Jupyter into target/clients. The package of
//! clients/python is taken from the sources, so that a test runs what stands there now.

pub mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::postgres::entrust_process;
use super::{data_folder, within};

/// The file by which a kernel begins to record.
pub const STARTUP: &str = "50-progress-relay.py";

/// The Python of target/clients, or that of `CLIENTS_PYTHON`: another release, with the same
/// packages.
pub fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("CLIENTS_PYTHON") {
        return python.into();
    }
    let python = root().join("target/clients/bin/python");
    assert!(python.exists(), "{python:?} is missing: scripts/setup clients");
    python
}

/// The sources of the client's package.
pub fn package() -> PathBuf {
    root().join("clients/python")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A student's home, with the start-up file that an administrator installs.
pub struct Home {
    pub folder: PathBuf,
}

impl Home {
    pub fn new() -> Self {
        let home = Self::bare();
        let startup = home.folder.join("ipython/profile_default/startup");
        fs::create_dir_all(&startup).expect("a folder");
        fs::copy(package().join("startup").join(STARTUP), startup.join(STARTUP)).expect("a file");
        home
    }

    /// A home without that file.
    pub fn bare() -> Self {
        let folder = data_folder();
        fs::create_dir_all(&folder).expect("a home");
        Self { folder }
    }

    /// The folder where runs wait.
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// The environment of a student's kernel, which posts to this URL.
    pub fn environment(&self, url: &str) -> Vec<(String, String)> {
        let folder = |name: &str| self.folder.join(name).display().to_string();
        let source = package().join("src").display().to_string();
        [
            ("HOME", folder("")),
            ("IPYTHONDIR", folder("ipython")),
            ("JUPYTER_CONFIG_DIR", folder("config")),
            ("JUPYTER_RUNTIME_DIR", folder("runtime")),
            ("JPY_SESSION_NAME", folder("unit1.ipynb")),
            ("PYTHONPATH", source),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("RELAY_URL", url.to_owned()),
            ("RELAY_USER", "ada".to_owned()),
            ("RELAY_CLASS", "algebra".to_owned()),
            ("RELAY_SPOOL_DIR", folder("spool")),
            ("RELAY_LONGEST_WAIT", "0.5".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Starts a kernel with further variables. One that is empty is left out.
    pub async fn kernel(&self, url: &str, more: &[(&str, &str)]) -> Kernel {
        self.kernel_of(&python(), url, more).await
    }

    /// Starts a kernel of another Python.
    pub async fn kernel_of(&self, python: &Path, url: &str, more: &[(&str, &str)]) -> Kernel {
        self.kernel_by(&[python.display().to_string()], url, more).await
    }

    /// Starts a kernel by a command that ends with the Python.
    pub async fn kernel_by(&self, by: &[String], url: &str, more: &[(&str, &str)]) -> Kernel {
        let mut environment: serde_json::Map<_, _> =
            self.environment(url).into_iter().map(|(name, value)| (name, value.into())).collect();
        for (name, value) in more {
            if value.is_empty() {
                environment.remove(*name);
            } else {
                environment.insert((*name).to_owned(), (*value).into());
            }
        }
        Kernel::start(by, environment.into()).await
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A running kernel, driven by kernel.py.
pub struct Kernel {
    _process: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    cells: usize,
}

impl Kernel {
    async fn start(by: &[String], environment: Value) -> Self {
        let driver = root().join("tests/integration/support/kernel/kernel.py");
        let mut command = Command::new(&by[0]);
        // What this machine has set for its users must not reach the kernel.
        for (name, _) in std::env::vars() {
            if ["RELAY_", "PROGRESS_RELAY", "JUPYTER", "JPY_"].iter().any(|p| name.starts_with(p)) {
                command.env_remove(name);
            }
        }
        command
            .args(&by[1..])
            .arg(driver)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut process = command.kill_on_drop(true).spawn().expect("python");
        entrust_process(process.id().expect("it was just started"));
        let commands = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut kernel = Self { _process: process, commands, answers, cells: 0 };
        kernel.ask(json!({ "do": "start", "env": environment })).await;
        kernel
    }

    async fn ask(&mut self, command: Value) -> Value {
        let line = format!("{command}\n");
        self.commands.write_all(line.as_bytes()).await.expect("a driver that reads");
        let answer = within(&line, self.answers.next_line()).await.expect("stdout");
        serde_json::from_str(&answer.unwrap_or_else(|| panic!("the driver has ended: {line}")))
            .expect("JSON")
    }

    /// Runs a cell with an id of its own, and returns its outputs.
    pub async fn run(&mut self, code: &str) -> Vec<Value> {
        self.cells += 1;
        let cell = format!("cell-{}", self.cells);
        self.run_cell(&cell, code).await
    }

    pub async fn run_cell(&mut self, cell: &str, code: &str) -> Vec<Value> {
        let outputs = self.ask(json!({ "do": "run", "code": code, "cell": cell })).await;
        outputs.as_array().expect("outputs").clone()
    }

    /// Runs code that no student has asked for.
    pub async fn run_silently(&mut self, code: &str) {
        self.ask(json!({ "do": "silently", "code": code })).await;
    }

    /// Begins a cell that does not end by itself.
    pub async fn begin(&mut self, code: &str) {
        self.ask(json!({ "do": "begin", "code": code, "cell": "begun" })).await;
    }

    pub async fn end(&mut self) -> Vec<Value> {
        self.ask(json!({ "do": "end" })).await.as_array().expect("outputs").clone()
    }

    /// Outputs that have come without a cell that runs.
    pub async fn outputs(&mut self) -> Vec<Value> {
        self.ask(json!({ "do": "outputs" })).await.as_array().expect("outputs").clone()
    }

    /// What the student reads after `%progress`.
    pub async fn progress(&mut self) -> String {
        let outputs = self.run("%progress").await;
        outputs.iter().filter_map(|output| output["text"].as_str()).collect()
    }

    pub async fn interrupt(&mut self) {
        self.ask(json!({ "do": "interrupt" })).await;
    }

    /// Kills the kernel with SIGKILL.
    pub async fn kill(mut self) {
        self.ask(json!({ "do": "kill" })).await;
    }

    /// Ends the kernel as a front end does.
    pub async fn shut_down(mut self) {
        self.ask(json!({ "do": "shutdown" })).await;
    }

    pub async fn restart(&mut self) {
        self.ask(json!({ "do": "restart" })).await;
    }
}
