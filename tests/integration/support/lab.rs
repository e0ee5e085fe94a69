//! A real JupyterLab with extensions of other projects that post events.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::postgres::entrust_process;
use super::{data_folder, until};

/// How long JupyterLab may take to end its kernels and itself.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// A variable of the server's environment that must not leave it.
pub const SECRET: &str = "a-secret-of-the-server";

/// A running JupyterLab, with one notebook.
pub struct Lab {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Lab {
    /// Starts JupyterLab as the server of the hub's user `student`. `pioneer` is the configuration
    /// of jupyterlab-pioneer, `settings` those of other extensions by their file's name, `notebook`
    /// the content of `lesson.ipynb`.
    pub async fn start(
        student: &str,
        pioneer: &str,
        settings: &[(&str, Value)],
        notebook: &Value,
    ) -> Self {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/extensions");
        assert!(programs.join("installed").exists(), "missing: scripts/setup extensions");
        let folder = data_folder();
        let config = folder.join("config");
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write(config.join("jupyter_jupyterlab_pioneer_config.py"), pioneer);
        for (name, setting) in settings {
            let path = format!("lab/user-settings/{name}.jupyterlab-settings");
            write(config.join(path), &setting.to_string());
        }
        write(folder.join("work/lesson.ipynb"), &notebook.to_string());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let log = fs::File::create(folder.join("lab.log")).expect("a log");
        let mut command = Command::new(programs.join("bin/jupyter-lab"));
        command
            .args(["--allow-root", "--no-browser", "--ip=127.0.0.1", "--ServerApp.port_retries=0"])
            .args(["--IdentityProvider.token=", "--expose-app-in-browser"])
            .arg(format!("--port={port}"))
            .current_dir(folder.join("work"))
            .env("HOME", &folder)
            .env("JUPYTER_CONFIG_DIR", &config)
            .env("JUPYTER_DATA_DIR", folder.join("data"))
            .env("JUPYTER_RUNTIME_DIR", folder.join("runtime"))
            .env("IPYTHONDIR", folder.join("ipython"))
            .env("JUPYTERHUB_USER", student)
            .env("JUPYTERHUB_API_TOKEN", SECRET)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .process_group(0);
        let process = command.spawn().expect("JupyterLab");
        entrust_process(process.id());
        let lab = Self { process, folder, port };
        until("JupyterLab", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        lab
    }

    /// The page of the notebook.
    pub fn page(&self) -> String {
        format!("http://127.0.0.1:{}/lab/tree/lesson.ipynb", self.port)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().try_into().expect("a process id"))
    }
}

impl Drop for Lab {
    /// Ends JupyterLab, which ends its kernels.
    fn drop(&mut self) {
        let _ = kill(self.pid(), Signal::SIGTERM);
        let began = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && began.elapsed() < END_PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("lab.log")).unwrap_or_default();
            eprintln!("--- the log of JupyterLab ---\n{log}---");
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A notebook of these cells: id, type, source.
pub fn notebook(metadata: &Value, cells: &[(&str, &str, &str)]) -> Value {
    let cells: Vec<Value> = cells
        .iter()
        .map(|(id, kind, source)| {
            let mut cell = json!({"id": id, "cell_type": kind, "source": source, "metadata": {}});
            if *kind == "code" {
                cell["outputs"] = json!([]);
                cell["execution_count"] = Value::Null;
            }
            cell
        })
        .collect();
    json!({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells})
}
