//! A Jupyter server of a student's, for pages in a real browser.

use std::net::TcpListener;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use progress_relay::client::BaseUrl;
use progress_relay::client::http::Connection;

use super::{Home, python};
use crate::support::browser::Page;
use crate::support::postgres::entrust_process;
use crate::support::{until, within};

const TOKEN: &str = "of-the-student";

/// Which page a student works in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontEnd {
    Lab,
    Notebook,
}

/// A running Jupyter server, whose folder has the notebook unit1.ipynb.
pub struct Jupyter {
    _process: Child,
    front_end: FrontEnd,
    url: BaseUrl,
    log: Arc<Mutex<String>>,
}

impl Jupyter {
    /// Starts a server with a notebook of these cells. Each has its code, and its id is `a0`, `a1`
    /// and so on; before them is a cell of Markdown.
    pub async fn start(front_end: FrontEnd, home: &Home, relay: &str, cells: &[&str]) -> Self {
        let root = home.folder.join("work");
        std::fs::create_dir_all(&root).expect("a folder");
        std::fs::write(root.join("unit1.ipynb"), notebook(cells).to_string()).expect("a notebook");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let (program, application) = match front_end {
            FrontEnd::Lab => ("lab", "LabApp"),
            FrontEnd::Notebook => ("notebook", "JupyterNotebookApp"),
        };
        let mut command = Command::new(python());
        command
            .args(["-m", "jupyter", program, "--no-browser", "--allow-root"])
            .arg(format!("--ServerApp.port={port}"))
            .arg(format!("--IdentityProvider.token={TOKEN}"))
            .arg(format!("--ServerApp.root_dir={}", root.display()))
            .arg(format!("--{application}.expose_app_in_browser=True"))
            .envs(home.environment(relay))
            .env_remove("JPY_SESSION_NAME")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut process = command.spawn().expect("a Jupyter server");
        entrust_process(process.id().expect("it was just started"));
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let collected = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                collected.lock().expect("a log").push_str(&(line + "\n"));
            }
        });
        let url = BaseUrl::parse(&format!("http://127.0.0.1:{port}")).expect("a URL");
        let server = Self { _process: process, front_end, url, log };
        until("the Jupyter server", || async {
            let mut connection = Connection::open(&server.url).await.ok()?;
            let status = connection.get(&format!("/api/status?token={TOKEN}")).await.ok()?.status;
            (status == 200).then_some(())
        })
        .await;
        server
    }

    /// Opens the notebook in a page, and waits for its kernel.
    pub async fn open(&self, page: &Page) {
        let path = match self.front_end {
            FrontEnd::Lab => "lab/tree",
            FrontEnd::Notebook => "notebooks",
        };
        page.go(&format!("{}/{path}/unit1.ipynb?token={TOKEN}", self.url)).await;
        page.until("window.jupyterapp?.commands?.hasCommand('notebook:run-all-cells')").await;
        self.idle(page).await;
    }

    /// Waits until the notebook's kernel has started and has nothing to do.
    pub async fn idle(&self, page: &Page) {
        let kernel = "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel";
        page.until(&format!(
            "{kernel}?.status === 'idle' && {kernel}.connectionStatus === 'connected'"
        ))
        .await;
    }

    /// Has a command of the page's executed, and does not wait for its end.
    pub async fn execute(&self, page: &Page, command: &str) {
        page.value(&format!("void window.jupyterapp.commands.execute({})", json!(command))).await;
    }

    /// Restarts the only kernel, as the button does after its question.
    pub async fn restart_kernel(&self) {
        let kernels: Value = self.ask("GET", "/api/kernels").await;
        let id = kernels[0]["id"].as_str().expect("a kernel").to_owned();
        self.ask("POST", &format!("/api/kernels/{id}/restart")).await;
    }

    async fn ask(&self, method: &str, path: &str) -> Value {
        let authorization = format!("token {TOKEN}");
        let headers = [("authorization", &*authorization)];
        let mut connection = Connection::open(&self.url).await.expect("the server");
        let answer = connection.request(method, path, &headers, Default::default());
        within(path, answer).await.expect("an answer").json().expect("JSON")
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("a log").clone()
    }
}

fn notebook(cells: &[&str]) -> Value {
    let code = cells.iter().enumerate().map(|(number, code)| {
        json!({
            "cell_type": "code",
            "id": format!("a{number}"),
            "source": code,
            "metadata": {},
            "outputs": [],
            "execution_count": null,
        })
    });
    let title = json!({
        "cell_type": "markdown", "id": "title", "source": "# 単元1", "metadata": {},
    });
    json!({
        "cells": std::iter::once(title).chain(code).collect::<Vec<_>>(),
        "metadata": {
            "kernelspec": { "name": "python3", "display_name": "Python 3", "language": "python" },
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    })
}
