//! The PostgreSQL server of the run, and the process that cleans up after the run.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};

use progress_relay::database::Connector;
use progress_relay::embedded::{Durability, Options, PrivatePostgres};
use progress_relay::migrate;
use tokio_postgres::{Client, Config, NoTls};

/// Ends every process of the run and removes its folders when its standard input ends.
///
/// The input ends with this process, also by SIGKILL, which no destructor survives. (Statics have
/// no destructors at all.) Relays are killed first, because a living relay starts its database
/// again.
const UNDERTAKER: &str = r#"
trap '' INT TERM HUP
folders=
relays=
mounts=
networks=
while read -r what one two; do
    case $what in
        folder) folders="$folders $one" ;;
        relay) relays="$relays $one,$two" ;;
        mount) mounts="$mounts $one" ;;
        netns) networks="$networks $one" ;;
    esac
done
for relay in $relays; do
    pid=${relay%,*}
    # The process with this pid is another one unless it was started at the same moment, which is
    # the 22nd field of its stat.
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
    set -- ${stat##*) }
    [ "${20}" = "${relay#*,}" ] || continue
    # The children of a frozen PostgreSQL would outlive it.
    kill -CONT $(cat "/proc/$pid/task/$pid/children") 2>/dev/null
    kill -KILL "$pid" 2>/dev/null
done
for mount in $mounts; do umount -l "$mount"; done 2>/dev/null
for network in $networks; do ip netns del "$network"; done 2>/dev/null
# All servers are stopped at once, and then each is waited for. The fifth line of the file names the
# folder of the socket.
for folder in $folders; do
    {
        read -r pid
        read -r data
        read -r since
        read -r port
        read -r socket
    } <"$folder/postgresql/postmaster.pid" &&
        kill -INT "$pid" && echo "$pid $socket" >"$folder/ending"
done 2>/dev/null
for folder in $folders; do
    if read -r pid socket <"$folder/ending"; then
        while kill -0 "$pid"; do sleep 0.05; done
        rmdir "$socket"
    fi
    rm -rf "$folder"
done 2>/dev/null
"#;

struct Undertaker {
    /// The process is never waited for, because it outlives this one by a moment.
    _process: Child,
    orders: ChildStdin,
}

/// Registers something that must be removed when the run ends.
pub fn entrust(order: &str) {
    let mut undertaker = UNDERTAKEN.lock().expect("no test panics while it holds this");
    let undertaker = undertaker.get_or_insert_with(|| {
        let mut process = Command::new("sh")
            .args(["-c", UNDERTAKER])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // In another process group, so that Ctrl-C and a CI's kill of the group do not reach
            // it.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let orders = process.stdin.take().expect("a pipe");
        Undertaker { _process: process, orders }
    });
    writeln!(undertaker.orders, "{order}").expect("the undertaker listens");
}

/// Has a process killed when the run ends, if it still lives then.
pub fn entrust_process(pid: u32) {
    // The process may have ended already.
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return };
    let born = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(19));
    entrust(&format!("relay {pid} {}", born.expect("a time of birth")));
}

static UNDERTAKEN: Mutex<Option<Undertaker>> = Mutex::new(None);
static FOLDERS: AtomicUsize = AtomicUsize::new(0);
static DATABASES: AtomicUsize = AtomicUsize::new(0);
static SERVER: OnceLock<Config> = OnceLock::new();

/// The name of a new folder, mostly for the data of a private PostgreSQL. It is removed when the
/// run ends, after the server that runs on it was stopped.
pub fn data_folder() -> PathBuf {
    // Directly below /tmp, where the server's user has access.
    data_folder_below(Path::new("/tmp"))
}

/// The name of a new folder below `place`.
pub fn data_folder_below(place: &Path) -> PathBuf {
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let folder = place.join(format!("progress-relay-test-{}-{number}", std::process::id()));
    entrust(&format!("folder {}", folder.display()));
    folder
}

/// Starts the server of the run in a thread that lives as long as the run: each test has its own
/// runtime, which ends with the test.
fn start_server() -> Config {
    let data_dir = data_folder();
    let (started, config) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let settings = [("max_connections", "400"), ("log_min_messages", "fatal")];
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let options = Options { data_dir, durability: Durability::Throwaway, settings };
            let server = PrivatePostgres::start(options, "tests").await;
            let server = server
                .unwrap_or_else(|error| panic!("the tests start their own PostgreSQL: {error}"));
            started.send(server.config()).expect("someone waits");
            std::future::pending::<()>().await;
        });
    });
    config.recv().expect("a PostgreSQL server (see above)")
}

/// An empty database of one test.
pub struct Database {
    config: Config,
    name: String,
}

impl Database {
    /// Creates a database.
    pub async fn new() -> Self {
        let mut config = SERVER.get_or_init(start_server).clone();
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let admin = connect(config.clone().dbname("postgres")).await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
            .await
            .expect("a database");
        config.dbname(&name);
        Self { config, name }
    }

    /// Creates a database with the relay's tables.
    pub async fn migrated() -> Self {
        let database = Self::new().await;
        migrate::apply(&database.connector()).await.expect("migrations");
        database
    }

    /// The value of `--database-url`.
    pub fn url(&self) -> String {
        let folder = self.folder();
        self.url_by(&folder)
    }

    /// The value of `--database-url` through a socket in another folder.
    pub fn url_by(&self, folder: &Path) -> String {
        format!("host={} port={} user=postgres dbname={}", folder.display(), self.port(), self.name)
    }

    /// The value of `--database-url` for another role.
    pub fn url_as(&self, role: &str) -> String {
        self.url().replace("user=postgres", &format!("user='{role}'"))
    }

    /// A session of another role.
    pub async fn client_as(&self, role: &str) -> Client {
        connect(self.config.clone().user(role)).await
    }

    /// Its name, which no other database of the run has.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder().join(format!(".s.PGSQL.{}", self.port()))
    }

    /// A folder that the server's user may write in.
    pub fn folder(&self) -> PathBuf {
        match self.config.get_hosts() {
            [tokio_postgres::config::Host::Unix(folder)] => folder.clone(),
            other => panic!("a socket: {other:?}"),
        }
    }

    /// The port of the server's socket.
    pub fn port(&self) -> u16 {
        self.config.get_ports()[0]
    }

    /// A session on another server.
    pub async fn session(socket: &Path, port: u16, database: &str) -> Client {
        let mut config = Config::new();
        config.host_path(socket).port(port).user("postgres").dbname(database);
        connect(&config).await
    }

    pub fn connector(&self) -> Connector {
        Connector::new(&self.config)
    }

    /// A session on this database.
    pub async fn client(&self) -> Client {
        connect(&self.config).await
    }

    /// Ends the relay's sessions with these names, and returns their names.
    pub async fn terminate(&self, application: &str) -> Vec<String> {
        // Not in the condition: PostgreSQL may evaluate its parts in any order and end all
        // sessions.
        let sql = "SELECT application_name, pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = $1 AND application_name LIKE $2";
        // Through another database, because this one may refuse connections.
        let rows =
            self.admin().await.query(sql, &[&self.name, &application]).await.expect("an answer");
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Allows or refuses new connections. Open connections stay.
    pub async fn allow_connections(&self, allow: bool) {
        let sql = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", self.name);
        self.admin().await.batch_execute(&sql).await.expect("another setting");
    }

    /// A session in another database of the same server.
    pub async fn admin(&self) -> Client {
        connect(self.config.clone().dbname("postgres")).await
    }
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the tests' PostgreSQL");
    tokio::spawn(connection);
    client
}
