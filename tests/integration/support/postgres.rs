//! The run's PostgreSQL, and what ends it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};

use progress_relay::embedded::{Durability, Options, PrivatePostgres};
use progress_relay::migrate;
use progress_relay::store::Connector;
use tokio_postgres::{Client, Config, NoTls};

/// Ends every server of the run, and removes its folder, once its input ends: that is when this process does, also by SIGKILL,
/// which no destructor survives. (Statics have none at all.)
const UNDERTAKER: &str = r#"
trap '' INT TERM HUP
folders=
while read -r folder; do folders="$folders $folder"; done
for folder in $folders; do
    pid=$(head -n 1 "$folder/postgresql/postmaster.pid" 2>/dev/null)
    if [ -n "$pid" ] && kill -INT "$pid" 2>/dev/null; then
        while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    fi
    rm -rf "$folder"
done
"#;

struct Undertaker {
    /// Never waited for: it outlives this process by a moment.
    _process: Child,
    folders: ChildStdin,
}

static UNDERTAKEN: Mutex<Option<Undertaker>> = Mutex::new(None);
static FOLDERS: AtomicUsize = AtomicUsize::new(0);
static DATABASES: AtomicUsize = AtomicUsize::new(0);
static SERVER: OnceLock<Config> = OnceLock::new();

/// A data folder for a private PostgreSQL; whatever runs on it is ended with this run, and it is removed.
pub fn data_folder() -> PathBuf {
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    // Directly below /tmp, where the server's user can pass.
    let folder = Path::new("/tmp").join(format!("progress-relay-test-{}-{number}", std::process::id()));
    let mut undertaker = UNDERTAKEN.lock().expect("no test panics while it holds this");
    let undertaker = undertaker.get_or_insert_with(|| {
        let mut process = Command::new("sh")
            .args(["-c", UNDERTAKER])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a shell");
        let folders = process.stdin.take().expect("a pipe");
        Undertaker { _process: process, folders }
    });
    writeln!(undertaker.folders, "{}", folder.display()).expect("the undertaker listens");
    folder
}

/// Starts the run's server, in a thread of its own that lives as long as the run: each test has its own runtime.
fn start_server() -> Config {
    let data_dir = data_folder();
    let (started, config) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let settings = [("max_connections", "400"), ("log_min_messages", "fatal")];
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let options = Options { data_dir, durability: Durability::Throwaway, settings };
            let server = PrivatePostgres::start(options, "tests").await;
            let server =
                server.unwrap_or_else(|error| panic!("tests need a PostgreSQL of their own: {error}"));
            started.send(server.config()).expect("someone waits");
            std::future::pending::<()>().await;
        });
    });
    config.recv().expect("a PostgreSQL server (see above)")
}

/// A database of a test's own, empty.
pub struct Database {
    config: Config,
    name: String,
}

impl Database {
    /// Makes one.
    pub async fn new() -> Self {
        let mut config = SERVER.get_or_init(start_server).clone();
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let admin = connect(config.clone().dbname("postgres")).await;
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.expect("a database");
        config.dbname(&name);
        Self { config, name }
    }

    /// One with the relay's tables.
    pub async fn migrated() -> Self {
        let database = Self::new().await;
        migrate::apply(&database.connector()).await.expect("migrations");
        database
    }

    /// For `--database-url`.
    pub fn url(&self) -> String {
        let host = match self.config.get_hosts() {
            [tokio_postgres::config::Host::Unix(folder)] => folder.display().to_string(),
            other => panic!("a socket: {other:?}"),
        };
        format!("host={host} port={} user=postgres dbname={}", self.config.get_ports()[0], self.name)
    }

    pub fn connector(&self) -> Connector {
        Connector::new(self.config.clone())
    }

    /// A session of the test's own.
    pub async fn client(&self) -> Client {
        connect(&self.config).await
    }

    /// Ends the relay's sessions of these names; returns how many.
    pub async fn terminate(&self, application: &str) -> i64 {
        let row = self
            .client()
            .await
            .query_one(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = current_database() AND application_name LIKE $1",
                &[&application],
            )
            .await
            .expect("an answer");
        row.get(0)
    }
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the tests' PostgreSQL");
    tokio::spawn(connection);
    client
}
