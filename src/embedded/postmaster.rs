//! The signs of a running postmaster: its pid file, and its answer on the socket.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::error::EmbeddedError;
use crate::database::explain;

/// The database that the relay works with.
pub(super) const DATABASE: &str = "progress";
/// The superuser that initdb made.
pub(super) const SUPERUSER: &str = "postgres";
/// The errors of creating a database that exists already.
const EXISTS: [SqlState; 2] = [SqlState::DUPLICATE_DATABASE, SqlState::UNIQUE_VIOLATION];
/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The contents of `postmaster.pid`, which grows line by line while the server starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: i32,
    /// The socket's folder, and the port in the socket's name.
    pub(super) socket: Option<(PathBuf, u16)>,
    pub(super) stopping: bool,
    pub(super) ready: bool,
}

impl PidFile {
    /// Reads the cluster's pid file, if there is one.
    pub(super) fn read(cluster: &Path) -> Result<Option<Self>, EmbeddedError> {
        let path = cluster.join("postmaster.pid");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => {
                Err(EmbeddedError::Io { doing: "reading the server's pid file", path, source })
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        // pid, data folder, time of start, port, socket's folder, address, shared memory, status
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let pid = lines.first()?.parse().ok()?;
        let port = lines.get(3).and_then(|port| port.parse().ok());
        let folder = lines.get(4).filter(|folder| folder.starts_with('/'));
        Some(Self {
            pid,
            socket: folder.zip(port).map(|(folder, port)| (PathBuf::from(folder), port)),
            stopping: lines.get(7) == Some(&"stopping"),
            ready: lines.get(7) == Some(&"ready"),
        })
    }
}

/// The configuration of a connection through this socket.
pub(super) fn config(socket: &Path, port: u16, database: &str) -> Config {
    let mut config = Config::new();
    config.host_path(socket).port(port).user(SUPERUSER).dbname(database);
    config
}

/// A server's answer.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) data_directory: PathBuf,
    pub(super) fsync: bool,
}

/// Why a server did not answer.
#[derive(Debug)]
pub(super) struct NoAnswer {
    pub(super) reason: String,
    /// Whether a server refused. Otherwise none was reached.
    pub(super) by_server: bool,
}

impl NoAnswer {
    fn unreached(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), by_server: false }
    }
}

/// Asks the server that listens on this socket.
pub(super) async fn ask(socket: &Path, port: u16) -> Result<Identity, NoAnswer> {
    let conversation = async {
        let client = connect(&config(socket, port, "postgres")).await?;
        client
            .simple_query("SELECT current_setting('data_directory'), current_setting('fsync')")
            .await
    };
    let messages = match tokio::time::timeout(CONNECT_TIMEOUT, conversation).await {
        Ok(result) => result.map_err(|error| NoAnswer {
            reason: explain(&error),
            by_server: error.as_db_error().is_some(),
        })?,
        Err(_) => {
            return Err(NoAnswer::unreached(format!(
                "no answer within {} s",
                CONNECT_TIMEOUT.as_secs()
            )));
        }
    };
    messages
        .iter()
        .find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(Identity {
                data_directory: fs::canonicalize(row.get(0)?).unwrap_or_default(),
                fsync: row.get(1)? == "on",
            }),
            _ => None,
        })
        .ok_or_else(|| NoAnswer::unreached("the server answered without a row"))
}

/// Creates the relay's database if it does not exist.
pub(super) async fn ensure_database(socket: &Path, port: u16) -> Result<(), EmbeddedError> {
    let refused = |error: tokio_postgres::Error| EmbeddedError::Refused {
        doing: "making the relay's database",
        reason: explain(&error),
    };
    let client = connect(&config(socket, port, "postgres")).await.map_err(refused)?;
    let known = client
        .simple_query(&format!("SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"))
        .await
        .map_err(refused)?;
    if known.iter().any(|message| matches!(message, SimpleQueryMessage::Row(_))) {
        return Ok(());
    }
    // A session that is connected to the template would make this fail; template0 takes none.
    let create = format!(
        "CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    match client.simple_query(&create).await {
        Ok(_) => Ok(()),
        // Another command has created it meanwhile.
        Err(error) if error.code().is_some_and(|code| EXISTS.contains(code)) => Ok(()),
        Err(error) => Err(refused(error)),
    }
}

async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // The task ends with the client. The client's statements return its errors.
    tokio::spawn(connection);
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str =
        "4711\n/data/postgresql\n1764000000\n5432\n/run/relay\n\n  5432001    65536\nready   \n";

    #[test]
    fn a_pid_file_is_read() {
        let socket = Some((PathBuf::from("/run/relay"), 5432));
        let ready = PidFile { pid: 4711, socket, stopping: false, ready: true };
        assert_eq!(PidFile::parse(READY), Some(ready.clone()));
        assert_eq!(
            PidFile::parse(&READY.replace("ready   ", "stopping")),
            Some(PidFile { stopping: true, ready: false, ..ready })
        );
    }

    #[test]
    fn a_pid_file_that_is_half_written_is_read_as_far_as_it_goes() {
        let early = PidFile { pid: 4711, socket: None, stopping: false, ready: false };
        assert_eq!(PidFile::parse("4711\n/data/postgresql\n1764000000\n5432\n"), Some(early));
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("garbage\n"), None);
    }
}
