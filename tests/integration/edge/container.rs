//! The image of deploy/Containerfile, made step by step without an engine: the folder in which it
//! builds has all that the compiler reads, and the program of this run starts in the image's root:
//! read-only, as the image's user, with the image's libraries and nothing else.
//!
//! The step that compiles is the one that is not run: it takes minutes. The compiler's own list of
//! the files that it has read takes its place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use crate::support::stage::{folder_with, shipped};
use crate::support::{Database, PATIENCE, Relay, event};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_progress-relay");
/// The libraries of the image on which the program's is based: `cc` of distroless.
const LIBRARIES: [&str; 5] = ["linux-vdso", "libc.so", "libm.so", "libgcc_s.so", "ld-linux"];
/// Makes the mounts of a container in a namespace of its own, whose end ends them: a root that is
/// read-only, and the database's socket. Then it becomes the image's program and user.
const ENTER: &str = "set -e; root=$1 socket=$2 user=$3 program=$4; shift 5
    mount --make-rprivate /
    mount --bind \"$root\" \"$root\"
    mount --bind \"$socket\" \"$root$socket\"
    mount -o remount,ro,bind \"$root\"
    exec env -i \"$(command -v chroot)\" --userspec=\"$user\" \"$root\" \"$program\" \"$@\"";

fn output(command: &mut Command) -> Output {
    let line = format!("{command:?}");
    let output = command.output().unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The steps of a stage: an instruction and its words.
fn stage(name: &str) -> Vec<(String, String)> {
    let text = shipped("Containerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut steps: Vec<Vec<(String, String)>> = Vec::new();
    for line in lines {
        let (instruction, words) = line.split_once(' ').expect("an instruction");
        if instruction == "FROM" {
            steps.push(Vec::new());
        }
        let step = (instruction.to_owned(), words.trim().to_owned());
        steps.last_mut().expect("it begins with FROM").push(step);
    }
    let is_build = |steps: &Vec<(String, String)>| steps[0].1.ends_with(" AS build");
    let stage = steps.into_iter().find(|steps| is_build(steps) == (name == "build"));
    stage.unwrap_or_else(|| panic!("no stage {name}"))
}

/// The words of the steps with this instruction.
fn of<'a>(steps: &'a [(String, String)], wanted: &str) -> Vec<&'a str> {
    let steps = steps.iter().filter(|(instruction, _)| instruction == wanted);
    steps.map(|(_, words)| &**words).collect()
}

/// Does what the stage's COPY steps say in an empty folder, which it returns.
fn copied(steps: &[(String, String)]) -> PathBuf {
    let (folder, empty) = folder_with("empty", "");
    fs::remove_file(empty).expect("an empty folder");
    for line in of(steps, "COPY") {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let to = folder.join(words.pop().expect("a place"));
        for from in words {
            let from = Path::new(ROOT).join(from);
            let to =
                if from.is_dir() { to.clone() } else { to.join(from.file_name().expect("a name")) };
            output(Command::new("cp").arg("-r").arg(&from).arg(&to));
        }
    }
    folder
}

/// The files that the compiler has read for this run's program, by the list that it keeps.
fn read_by_the_compiler() -> Vec<String> {
    let deps = Path::new(PROGRAM).parent().expect("a folder").join("deps");
    let lists = fs::read_dir(deps).expect("the compiler's folder").filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?;
        let is_list = name.starts_with("progress_relay-") && name.ends_with(".d");
        let text = is_list.then(|| fs::read_to_string(&path).ok()).flatten()?;
        let first = text.lines().find(|line| line.contains(".rlib: "))?;
        let at = path.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        Some((at, first.split_once(": ")?.1.to_owned()))
    });
    let (_, newest) = lists.max().expect("a list of the library's files");
    newest.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_build_has_all_that_the_compiler_reads() {
    let steps = stage("build");
    let folder = copied(&steps);
    let mut metadata = Command::new("cargo");
    metadata.args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]);
    let metadata = output(metadata.current_dir(&folder));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let files = read_by_the_compiler();
    assert!(files.len() > 150 && files.iter().any(|file| file.contains("dashboard/js/main.js")));
    for file in files {
        let file = Path::new(&file);
        let file = file.strip_prefix(ROOT).unwrap_or(file);
        assert!(folder.join(file).exists(), "{} is compiled in, and not copied", file.display());
    }

    // One build, by a toolchain that is new enough, of a program that exists.
    let package = &metadata["packages"][0];
    let version = package["rust_version"].as_str().expect("a version");
    let minor: Vec<_> = version.split('.').take(2).collect();
    assert!(steps[0].1.contains(&format!("/rust:{}-", minor.join("."))), "{version}");
    let build = of(&steps, "RUN").into_iter().find(|line| line.contains("cargo build"));
    let build = build.expect("a build");
    for flag in ["--release", "--locked"] {
        assert!(build.contains(flag), "{build}");
    }
    let name = build.split("--bin ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let targets = package["targets"].as_array().expect("targets").iter();
    let mut programs = targets.filter(|target| target["kind"][0] == "bin");
    assert!(programs.any(|target| target["name"].as_str() == name), "{name:?}");
    let made = format!("/build/target/release/{} ", name.unwrap_or_default());
    let taken = stage("image");
    let taken = of(&taken, "COPY").concat();
    assert!(taken.starts_with(&format!("--from=build {made}")), "{taken}");
}

/// The root of the image: the program, its libraries, and what every container has.
fn root(program: &str, socket: &str) -> PathBuf {
    let root = copied(&[]);
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("an open folder");
    let put = |from: &str, to: &str| {
        let to = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(from, to).unwrap_or_else(|error| panic!("{from}: {error}"));
    };
    put(PROGRAM, program);
    let libraries = output(Command::new("ldd").arg(PROGRAM));
    for line in String::from_utf8_lossy(&libraries.stdout).lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let name = words[0].rsplit('/').next().unwrap_or_default();
        let is_known = LIBRARIES.iter().any(|known| name.starts_with(known));
        assert!(is_known, "{line} is not in the image");
        if let Some(file) = words.iter().rev().find(|word| word.starts_with('/')) {
            put(file, file);
        }
    }
    fs::create_dir_all(root.join(socket.trim_start_matches('/'))).expect("a place for the socket");
    root
}

/// A socket through which any user of this machine reaches the tests' database, as a container
/// reaches a database through its network: the folder of the database's own socket is private.
async fn open_door(database: &Database) -> (PathBuf, AbortOnDropHandle<()>) {
    let (folder, _) = folder_with("empty", "");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("an open folder");
    let name = format!(".s.PGSQL.{}", database.port());
    let (near, far) = (folder.join(&name), database.folder().join(&name));
    let listener = UnixListener::bind(&near).expect("a socket");
    fs::set_permissions(&near, fs::Permissions::from_mode(0o777)).expect("an open socket");
    let accepting = tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = UnixStream::connect(&far).await.expect("the database");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    (folder, AbortOnDropHandle::new(accepting))
}

/// Whether this machine lets the tests make mounts.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-m", "mount", "--make-rprivate", "/"]).output();
    tried.is_ok_and(|output| output.status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_runs_in_the_images_root() {
    if !may_mount() {
        // Only root may, or in a container not even root.
        return;
    }
    let steps = stage("image");
    let list = |text: &str| -> Vec<String> { serde_json::from_str(text).expect("a list") };
    let entry = list(of(&steps, "ENTRYPOINT")[0]);
    assert_eq!(list(of(&steps, "CMD")[0]), ["serve"]);
    let to = of(&steps, "COPY")[0].split_whitespace().last().expect("a place").to_owned();
    assert_eq!(entry, std::slice::from_ref(&to));
    let user = of(&steps, "USER")[0].to_owned();
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
    let port = of(&steps, "EXPOSE")[0];
    assert!(of(&steps, "ENV").contains(&&*format!("RELAY_BIND=0.0.0.0:{port}")), "{port}");

    let database = Database::migrated().await;
    let (socket, _door) = open_door(&database).await;
    let (url, socket) = (database.url_by(&socket), socket.display().to_string());
    let root = root(&to, &socket);
    let place = root.display().to_string();
    let by = ["unshare", "-m", "sh", "-c", ENTER, "enter", &place, &socket, &user, &to];
    let mut relay =
        Relay::begin_by(&by.map(str::to_owned), &["--database-url", &url, "--log", "debug"]).await;
    relay.ready().await;
    relay.post(&event(1)).await;
    assert_eq!(relay.connection().await.get("/").await.expect("the page").status, 200);
    let status = fs::read_to_string(format!("/proc/{}/status", relay.pid())).expect("/proc");
    let id = user.split(':').next().expect("an id");
    assert!(status.contains(&format!("Uid:\t{id}\t{id}\t{id}\t{id}")), "{status}");
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", relay.pid())).expect("/proc");
    let own = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).expect("a root");
    let options = own.split(' ').nth(3).expect("options");
    assert!(options.split(',').any(|option| option == "ro"), "{own}");
    relay.signal(Signal::SIGTERM);
    assert!(relay.ended(PATIENCE).await.success());
}
