//! A real JupyterHub with its proxy, configured by deploy/jupyterhub/jupyterhub_config.py.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use progress_relay::client::BaseUrl;
use progress_relay::client::http::{Connection, Response};
use serde_json::{Value, json};

use super::browser::Page;
use super::postgres::entrust_process;
use super::secrecy::{assert_no_secrets, keep};
use super::{Database, data_folder, until, within};

/// How long a hub may take to end by itself.
const END_PATIENCE: Duration = Duration::from_secs(10);
const PASSWORD: &str = "of everyone";
pub const RELAY_TOKEN: &str = "0123456789abcdef0123456789abcdef";
const TESTER_TOKEN: &str = "fedcba9876543210fedcba9876543210";

/// A running hub, with its proxy and what it has started.
pub struct Hub {
    process: Child,
    folder: PathBuf,
    python: PathBuf,
    settings: Value,
    environment: Vec<(String, String)>,
}

/// A person's visit by a browser.
pub struct Visit {
    pub status: u64,
    pub url: String,
    pub body: String,
    /// The addresses on the way to the last answer, and the cookies that each set.
    pub hops: Vec<(String, String)>,
    /// The cookies that the browser sends to the relay.
    pub cookies: String,
}

impl Hub {
    /// Starts the hub of a release (5.4 or 6.1), which starts the relay. Waits until the relay
    /// answers through the hub's proxy.
    pub async fn start(release: &str, database: &Database) -> Self {
        let relay = TcpListener::bind("127.0.0.1:0").expect("a port");
        let bind = relay.local_addr().expect("an address").to_string();
        drop(relay);
        let hub = Self::begin(
            release,
            None,
            &[
                ("RELAY_BIND", &bind),
                ("DATABASE_URL", &database.url()),
                ("PROGRESS_RELAY", env!("CARGO_BIN_EXE_progress-relay")),
                ("RELAY_LOG", "info,progress_relay::answers=trace"),
            ],
        );
        hub.reachable("/services/relay/readyz").await;
        hub
    }

    /// Starts the hub of a release for a relay at this port, which the hub does not start. Start
    /// the relay before [`Self::ready`]: a hub waits half a minute for a service without an answer.
    pub fn start_beside(release: &str, relay_port: u16) -> Self {
        Self::begin(release, Some(relay_port), &[])
    }

    fn begin(release: &str, outside: Option<u16>, environment: &[(&str, &str)]) -> Self {
        keep(RELAY_TOKEN);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let programs = root.join("target/jupyterhub");
        let python = programs.join(release).join("bin/python");
        assert!(python.exists(), "JupyterHub {release} is missing: scripts/setup jupyterhub");
        let folder = data_folder();
        fs::create_dir(&folder).expect("a folder");
        let ports = [0; 3].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [port, api_port, proxy_port] =
            ports.each_ref().map(|port| port.local_addr().expect("an address").port());
        let settings = json!({
            "config": root.join("deploy/jupyterhub/jupyterhub_config.py"),
            "port": port,
            "apiPort": api_port,
            "proxyPort": proxy_port,
            "proxy": programs.join("node_modules/.bin/configurable-http-proxy"),
            "folder": folder,
            "cookieSecret": "11".repeat(32),
            "password": PASSWORD,
            "testerToken": TESTER_TOKEN,
            "relayToken": RELAY_TOKEN,
            "outsidePort": outside.unwrap_or(0),
        });
        drop(ports);
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let process = Self::spawn(&python, &folder, &settings, &environment);
        Self { process, folder, python, settings, environment }
    }

    fn spawn(
        python: &Path,
        folder: &Path,
        settings: &Value,
        environment: &[(String, String)],
    ) -> Child {
        let log = fs::File::options().create(true).append(true).open(folder.join("hub.log"));
        let log = log.expect("a log");
        let config =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/support/hub/config.py");
        let bin = python.parent().expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(python);
        command
            .args(["-m", "jupyterhub", "--config"])
            .arg(config)
            .current_dir(folder)
            .env("HUB_TEST", settings.to_string())
            .env("PATH", format!("{}:{path}", bin.display()))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .process_group(0);
        let process = command.spawn().expect("a hub");
        entrust_process(process.id());
        process
    }

    /// Waits until the hub answers through its proxy.
    pub async fn ready(&self) {
        self.reachable("/hub/api/").await;
    }

    async fn reachable(&self, path: &str) {
        let answered = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                if let Ok(mut proxy) = Connection::open(&self.url("")).await
                    && let Ok(answer) = proxy.get(path).await
                    && answer.status == 200
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if answered.await.is_err() {
            panic!("{path} is not reached: {}", self.log());
        }
        for process in self.descendants() {
            entrust_process(process);
        }
    }

    /// The address of a path at the hub's proxy.
    pub fn url(&self, path: &str) -> BaseUrl {
        let port = &self.settings["port"];
        BaseUrl::parse(&format!("http://127.0.0.1:{port}{path}")).expect("a URL")
    }

    /// The address of the hub's API, past its proxy.
    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}/hub/api", self.settings["apiPort"])
    }

    /// The relay, through the hub's proxy.
    pub fn relay(&self) -> BaseUrl {
        self.url("/services/relay")
    }

    /// Asks the hub's API with the rights of the test.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> Response {
        let api = BaseUrl::parse(&self.api_url()).expect("a URL");
        let mut api = Connection::open(&api).await.expect("the hub");
        let authorization = format!("token {TESTER_TOKEN}");
        let headers = [("authorization", &*authorization), ("content-type", "application/json")];
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = within(path, api.request(method, path, &headers, body)).await;
        answer.expect("an answer of the hub")
    }

    /// A new token of a person's.
    pub async fn token_of(&self, person: &str) -> String {
        let known = self.ask("POST", &format!("/users/{person}"), &Value::Null).await;
        assert!(matches!(known.status.as_u16(), 201 | 409), "{person}: {}", known.status);
        let path = format!("/users/{person}/tokens");
        let scopes = json!({ "scopes": ["access:services!service=relay"] });
        let answer = self.ask("POST", &path, &scopes).await;
        let body: Value = answer.json().expect("JSON");
        let token = body["token"].as_str().unwrap_or_else(|| panic!("{body}"));
        keep(token);
        token.to_owned()
    }

    /// Starts a person's server, and returns its environment.
    pub async fn server_of(&self, person: &str) -> impl Fn(&str) -> String + use<> {
        let home = self.folder.join("home").join(person);
        fs::create_dir_all(home).expect("a home");
        let answer = self.ask("POST", &format!("/users/{person}/server"), &Value::Null).await;
        assert!(matches!(answer.status.as_u16(), 201 | 202), "{}", answer.status);
        let path = format!("/users/{person}");
        until("the person's server", || async {
            let user: Value = self.ask("GET", &path, &Value::Null).await.json().ok()?;
            user["servers"][""]["ready"].as_bool()?.then_some(())
        })
        .await;
        let variables = self
            .descendants()
            .into_iter()
            .filter_map(|pid| fs::read(format!("/proc/{pid}/environ")).ok())
            .map(|environ| String::from_utf8_lossy(&environ).into_owned())
            .find(|environ| {
                environ.split('\0').any(|line| line == format!("JUPYTERHUB_USER={person}"))
            })
            .unwrap_or_else(|| panic!("no process of {person}: {}", self.log()));
        move |name: &str| {
            let mut lines = variables.split('\0').filter_map(|line| line.split_once('='));
            lines.find(|(key, _)| *key == name).unwrap_or_else(|| panic!("no {name}")).1.to_owned()
        }
    }

    /// A person signs in at the hub's login page, and opens a page.
    pub async fn visit(&self, person: &str, page: &str) -> Visit {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/support/hub/sign_in.py");
        let hub = self.url("").to_string();
        let output = tokio::process::Command::new(&self.python)
            .arg(script)
            .args([&hub, person, PASSWORD, page])
            .output();
        let output = within("the browser", output).await.expect("the browser");
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{problem} {}", self.log());
        let visit: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let hops = visit["hops"].as_array().expect("hops").iter();
        let cookies = visit["cookies"].as_array().expect("cookies").iter();
        let of_relay = cookies.filter(|cookie| cookie["path"] == "/services/relay/");
        let pairs = of_relay.map(|cookie| {
            let value = text(&cookie["value"]);
            keep(&value);
            format!("{}={value}", text(&cookie["name"]))
        });
        Visit {
            status: visit["status"].as_u64().expect("a status"),
            url: text(&visit["url"]),
            body: text(&visit["body"]),
            hops: hops.map(|hop| (text(&hop["url"]), text(&hop["setCookie"]))).collect(),
            cookies: pairs.collect::<Vec<_>>().join("; "),
        }
    }

    /// A person fills in the hub's login page, which a browser shows.
    pub async fn log_in(&self, page: &Page, person: &str) {
        page.until("document.querySelector('#login_submit') !== null").await;
        for (field, text) in [("username", person), ("password", PASSWORD)] {
            let field = format!("document.querySelector('#{field}_input').value = '{text}'");
            page.value(&field).await;
        }
        page.click("#login_submit").await;
    }

    /// Sends the hub itself a signal, and none to its proxy.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("a hub to signal");
    }

    /// Kills the hub itself: its proxy stays.
    pub fn kill(&mut self) {
        self.process.kill().expect("a hub to kill");
        self.process.wait().expect("its end");
    }

    /// Starts a hub that was killed again, with a new secret for its cookies.
    pub async fn restart(&mut self) {
        self.settings["cookieSecret"] = "22".repeat(32).into();
        self.process = Self::spawn(&self.python, &self.folder, &self.settings, &self.environment);
        self.ready().await;
    }

    /// A file with this text, in the hub's folder.
    pub fn file(&self, name: &str, text: &str) -> String {
        let file = self.folder.join(name);
        fs::write(&file, text).expect("a file");
        file.to_str().expect("UTF-8").to_owned()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("hub.log")).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().try_into().expect("a pid"))
    }

    /// The processes that the hub has started, and those that they have started.
    fn descendants(&self) -> Vec<u32> {
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid: u32| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
                Some((pid, parent))
            })
            .collect();
        let mut found = vec![self.process.id()];
        let mut next = 0;
        while let Some(&parent) = found.get(next) {
            found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
            next += 1;
        }
        found.split_off(1)
    }
}

impl Drop for Hub {
    /// Ends the hub, which ends what it has started.
    fn drop(&mut self) {
        let others = self.descendants();
        // It may be stopped, or have been killed.
        let _ = kill(self.pid(), Signal::SIGCONT);
        let _ = kill(self.pid(), Signal::SIGTERM);
        let began = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && began.elapsed() < END_PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = killpg(self.pid(), Signal::SIGKILL);
        if !std::thread::panicking() {
            let log = self.log();
            let of_relay: Vec<_> =
                log.lines().filter(|line| line.contains(" progress_relay::")).collect();
            assert_no_secrets("a line of the hub's relay", &of_relay.join("\n"));
        }
        for pid in others.into_iter().filter_map(|pid| pid.try_into().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
