//! A database cluster on disk: made once, and the commands that make and serve it.

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
use super::folder::Folder;
use super::options::{Durability, Options};
use super::version::data_version;

/// How the folder of an initdb that is not through begins; its process id follows.
const UNFINISHED: &str = "postgresql.new.";
/// The whole of pg_hba.conf: whoever gets to the socket, in its private folder, is let in.
const HBA: &str = "# The socket is in a folder that only the server's user, and root, can \
     enter.\nlocal all all trust\n";
/// What of the surroundings the server gets to see: no secret of the relay's, and no PG variable,
/// which would change its settings.
const ENVIRONMENT: &[&str] = &["PATH", "TZ", "LD_LIBRARY_PATH", "LOCALE_ARCHIVE"];
/// glibc, left alone, gives the memory of every large statement back to the kernel and takes it
/// anew, page by page, for the next: a tenth of what storing events in large statements costs. So a
/// backend keeps what it had, up to this (each of the relay's few does, where it had that much).
const ALLOCATOR: [(&str, &str); 2] =
    [("MALLOC_TRIM_THRESHOLD_", "33554432"), ("MALLOC_MMAP_THRESHOLD_", "33554432")];
/// As much of a log as an error shows.
const LOG_TAIL: u64 = 4096;

/// Makes the cluster on first use: elsewhere, then renamed, so that what an interrupted initdb left
/// is never served.
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
    tracing::info!(folder = %folder.cluster.display(), version = %binaries.major, "making a new \
         database cluster");
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
    // What it made is of no use; the next start would remove it as well.
    let _ = fs::remove_dir_all(target);
    Err(EmbeddedError::Initdb {
        program,
        folder: folder.cluster.clone(),
        output: format!("{}\n({})", text.trim(), output.status),
    })
}

/// Starts the server; it is not ready yet.
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
        // A file a weekday, each overwritten a week later.
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
        // PostgreSQL takes any live process of its user that has the pid in postmaster.pid for a
        // postmaster, except itself, its parent, and this one. That nothing else still uses the
        // data, it checks nevertheless.
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

/// A program as the server's user, in a process group of its own so that Ctrl-C does not reach it
/// first.
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
        // With the user, the standard library also gives up root's supplementary groups.
        command.uid(folder.account.uid).gid(folder.account.gid);
    }
    command
}

/// A file to be written from its beginning; never through a link, which root would follow to
/// another's file.
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
            tracing::info!(folder = %entry.path().display(), "removing what an interrupted initdb \
                 left");
            remove_busy(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a folder into which an initdb that outlived its relay may still write.
fn remove_busy(folder: &Path) -> Result<(), EmbeddedError> {
    let mut attempts = 0;
    loop {
        match fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && attempts < 20 => {
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

/// The end of what the server said since `since`: before its log began, and in it.
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
