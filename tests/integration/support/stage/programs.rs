//! PostgreSQL's programs, and the user, folders and files that they need.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio::sync::OnceCell;

use super::netns::Netns;
use crate::support::Database;
use crate::support::postgres::data_folder_below;

/// The folder of PostgreSQL's programs, and the user that they run as.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    folder: PathBuf,
    uid: u32,
    gid: u32,
}

impl Programs {
    /// The programs of the server that all tests share.
    pub(super) async fn find() -> &'static Self {
        static FOUND: OnceCell<Programs> = OnceCell::const_new();
        let find = || async {
            let database = Database::new().await;
            let sql = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
            let row = database.client().await.query_one(sql, &[]).await.expect("a folder");
            let owner = std::fs::metadata(database.folder()).expect("a folder");
            Self { folder: row.get::<_, String>(0).into(), uid: owner.uid(), gid: owner.gid() }
        };
        FOUND.get_or_init(find).await
    }

    /// The folder of PostgreSQL's programs.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program of PostgreSQL, or one with an absolute path, to be run as PostgreSQL's user in
    /// this folder.
    pub(super) fn command(&self, netns: Option<&Netns>, name: &str, within: &Path) -> Command {
        use std::os::unix::process::CommandExt;

        let program = self.folder.join(name);
        let root = nix::unistd::geteuid().is_root();
        let mut command = match netns {
            Some(netns) => {
                let mut command = netns.command("setpriv");
                let (uid, gid) = (self.uid.to_string(), self.gid.to_string());
                command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        if root && netns.is_none() {
            command.uid(self.uid).gid(self.gid);
        }
        command.env("LC_ALL", "C").current_dir(within).stdin(Stdio::null()).process_group(0);
        command
    }

    pub(super) fn hand_over(&self, folder: &Path) {
        if nix::unistd::geteuid().is_root() {
            chown(folder, Some(self.uid), Some(self.gid)).expect("another owner");
        }
    }

    /// The files that initdb makes. They are made once a run and copied for each server.
    pub(super) async fn template(&'static self) -> &'static Path {
        static MADE: OnceCell<PathBuf> = OnceCell::const_new();
        let make = || async {
            let folder = self.new_folder(data_place());
            let data = folder.join("data");
            let mut command = self.command(None, "initdb", &folder);
            command.args(["-E", "UTF8", "--locale=C", "-U", "postgres", "-A", "trust"]);
            command.args(["--no-sync", "-D"]);
            succeed(command.arg(&data)).await;
            data
        };
        MADE.get_or_init(make).await
    }

    /// A new folder that PostgreSQL's user may write in.
    pub(super) fn new_folder(&self, place: &Path) -> PathBuf {
        let folder = data_folder_below(place);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))
            .expect("permissions");
        self.hand_over(&folder);
        folder
    }
}

/// The place of the servers' data: memory if there is plenty of it, or else the disk.
///
/// Memory keeps what a killed process wrote, and these tests do not test the disk.
pub(super) fn data_place() -> &'static Path {
    let memory = Path::new("/dev/shm");
    let enough = nix::sys::statvfs::statvfs(memory)
        .is_ok_and(|room| room.blocks_available().saturating_mul(room.fragment_size()) > 4 << 30);
    if enough { memory } else { Path::new("/tmp") }
}

/// Runs a program, which must succeed.
pub(super) async fn succeed(command: &mut Command) {
    let line = format!("{command:?}");
    let mut command = std::mem::replace(command, Command::new("true"));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let output = output.unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}
