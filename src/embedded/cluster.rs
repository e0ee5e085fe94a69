//! The database cluster on disk, and the commands that create it and start its server.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use nix::fcntl::OFlag;
use tokio::process::{Child, Command};

use super::binaries::Binaries;
use super::error::EmbeddedError;
use super::folder::{Folder, data_version};
use super::options::{Durability, Options};

/// The beginning of the name of a folder in which initdb is working. The process id follows.
const UNFINISHED: &str = "postgresql.new.";
/// The contents of pg_hba.conf. Access is decided by the socket's private folder, so every client
/// that reaches the socket is let in.
const HBA: &str = "# The socket is in a folder that only the server's user, and root, can \
     enter.\nlocal all all trust\n";
/// The environment variables that the server inherits. It must not see the relay's secrets, nor a
/// PG variable, which would change its settings.
const ENVIRONMENT: &[&str] = &["PATH", "TZ", "LD_LIBRARY_PATH", "LOCALE_ARCHIVE"];
/// By default glibc returns the memory of every large statement to the kernel and requests it
/// again, page by page, for the next: a tenth of the cost of storing events in large statements.
/// With these settings a backend keeps up to 32 MiB of the memory that it has used.
const ALLOCATOR: [(&str, &str); 2] =
    [("MALLOC_TRIM_THRESHOLD_", "33554432"), ("MALLOC_MMAP_THRESHOLD_", "33554432")];
/// The bytes of a log that an error shows.
const LOG_TAIL: u64 = 4096;

/// Creates the cluster on first use. initdb works in another folder, which is renamed at the end,
/// so that an incomplete cluster is never served.
pub(super) async fn ensure(
    folder: &Folder,
    options: &Options,
    binaries: &Binaries,
) -> Result<(), EmbeddedError> {
    remove_unfinished(folder)?;
    if data_version(&folder.cluster)?.is_some() {
        return Ok(());
    }
    match fs::read_dir(&folder.cluster).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            return Err(EmbeddedError::unusable(
                &folder.cluster,
                "it is not empty, and has no PG_VERSION as a database cluster has; move it away, \
                 or choose another folder with --data-dir"
                    .into(),
            ));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(EmbeddedError::io("looking at the data", &folder.cluster)(error));
        }
        _ => {}
    }
    tracing::info!(
        folder = %folder.cluster.display(),
        version = %binaries.major,
        "creating a new database cluster"
    );
    let unfinished = folder.path.join(format!("{UNFINISHED}{}", std::process::id()));
    folder
        .account
        .make_private(&unfinished)
        .map_err(EmbeddedError::io("making the folder of a new database cluster", &unfinished))?;
    initdb(folder, options, binaries, &unfinished).await?;
    write_hba(&unfinished.join("pg_hba.conf"))?;
    fs::rename(&unfinished, &folder.cluster)
        .and_then(|()| File::open(&folder.path)?.sync_all())
        .map_err(EmbeddedError::io(
            "putting the new database cluster in its place",
            &folder.cluster,
        ))
}

async fn initdb(
    folder: &Folder,
    options: &Options,
    binaries: &Binaries,
    target: &Path,
) -> Result<(), EmbeddedError> {
    let uid = nix::unistd::geteuid();
    if matches!(nix::unistd::User::from_uid(uid), Ok(None)) {
        return Err(EmbeddedError::NoUserName { uid: uid.as_raw() });
    }
    let program = binaries.initdb();
    let mut command = command(&program, folder, target);
    command.arg("-D").arg(target);
    command.args([
        "-E",
        "UTF8",
        "--locale=C",
        "-U",
        "postgres",
        "-A",
        "trust",
        "--no-instructions",
    ]);
    if let Durability::Throwaway = options.durability {
        command.arg("--no-sync");
    }
    let output = command
        .kill_on_drop(true)
        .output()
        .await
        .map_err(EmbeddedError::io("running initdb", &program))?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    // The incomplete cluster is of no use. If it cannot be removed now, the next start removes it.
    let _ = fs::remove_dir_all(target);
    Err(EmbeddedError::Initdb {
        program,
        folder: folder.cluster.clone(),
        output: format!("{}\n({})", text.trim(), output.status),
    })
}

/// Starts the server's process. The server is not ready yet when this returns.
pub(super) fn spawn(
    folder: &Folder,
    options: &Options,
    binaries: &Binaries,
    socket: &Path,
    reused_pid: Option<i32>,
) -> Result<Child, EmbeddedError> {
    let program = binaries.postgres();
    let log = open_own(&folder.start_log)
        .map_err(EmbeddedError::io("opening the server's start log", &folder.start_log))?;
    let mut command = command(&program, folder, &folder.cluster);
    command.envs(ALLOCATOR);
    command.arg("-D").arg(&folder.cluster).arg("-k").arg(socket);
    for setting in [
        "listen_addresses=",
        "port=5432",
        "unix_socket_permissions=0700",
        // One file for each weekday, which is overwritten a week later.
        "logging_collector=on",
        "log_destination=stderr",
        "log_directory=log",
        "log_filename=postgresql-%a.log",
        "log_rotation_age=1d",
        "log_rotation_size=0",
        "log_truncate_on_rotation=on",
    ] {
        command.args(["-c", setting]);
    }
    command.args(match options.durability {
        Durability::Durable => ["-c", "fsync=on", "-c", "full_page_writes=on"],
        Durability::Throwaway => ["-c", "fsync=off", "-c", "full_page_writes=off"],
    });
    for (name, value) in &options.settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    if let Some(pid) = reused_pid {
        // PostgreSQL refuses to start while a process of its user has the pid in postmaster.pid,
        // unless that is its own pid, its parent's, or the one in this variable. It checks
        // separately that no other server uses the data.
        command.env("PG_GRANDPARENT_PID", pid.to_string());
    }
    command
        .stdout(
            log.try_clone()
                .map_err(EmbeddedError::io("opening the server's start log", &folder.start_log))?,
        )
        .stderr(log)
        .spawn()
        .map_err(EmbeddedError::io("starting the server", &program))
}

/// A command that runs as the server's user. It has a separate process group, so that Ctrl-C
/// reaches the relay alone, which then ends it in order.
fn command(program: &Path, folder: &Folder, current: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("LC_ALL", "C").current_dir(current).process_group(0).stdin(Stdio::null());
    if folder.account.switch {
        // When it changes the user, the standard library also drops root's supplementary groups.
        command.uid(folder.account.uid).gid(folder.account.gid);
    }
    command
}

/// Opens a file to be written from its beginning. It follows no link, since root could be led to a
/// file of another user.
fn open_own(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .custom_flags(OFlag::O_NOFOLLOW.bits());
    options.open(path)
}

fn write_hba(path: &Path) -> Result<(), EmbeddedError> {
    open_own(path)
        .and_then(|mut file| {
            file.write_all(HBA.as_bytes())?;
            file.sync_all()
        })
        .map_err(EmbeddedError::io("writing the server's access rules", path))
}

fn remove_unfinished(folder: &Folder) -> Result<(), EmbeddedError> {
    let entries = fs::read_dir(&folder.path)
        .map_err(EmbeddedError::io("looking into the data folder", &folder.path))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            tracing::info!(
                folder = %entry.path().display(),
                "removing the folder of an initdb that was interrupted"
            );
            remove_busy(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a folder. An initdb that outlived its relay may still write into it, so it is tried
/// several times.
fn remove_busy(folder: &Path) -> Result<(), EmbeddedError> {
    const ATTEMPTS: u32 = 20;
    let mut attempts = 0;
    loop {
        match fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && attempts < ATTEMPTS => {
                attempts += 1
            }
            Err(error) => {
                return Err(EmbeddedError::io("removing an unfinished database cluster", folder)(
                    error,
                ));
            }
        }
    }
}

/// The end of the server's output since `since`: of the start log and of the server's log.
pub(super) fn log_tail(folder: &Folder, since: SystemTime) -> String {
    let mut text = tail(&folder.start_log);
    let newest = fs::read_dir(folder.cluster.join("log"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .filter(|(modified, _)| *modified >= since)
        .max();
    if let Some((_, path)) = newest {
        text.push_str(&tail(&path));
    }
    if text.trim().is_empty() { "(nothing)".into() } else { text.trim_end().to_owned() }
}

fn tail(path: &PathBuf) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}
