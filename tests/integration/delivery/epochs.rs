//! A promoted standby and a restored dump give ids to other events, and every subscriber is told.
//!
//! A renewed nonce and a sequence that is set back are tested in `cursors`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use progress_relay::client::ws::Frame;
use tokio::process::Command;

use crate::support::{Database, Relay, data_folder, event, run, until, within};

/// A program of PostgreSQL, beside the server that the tests run on.
async fn program(database: &Database, name: &str) -> PathBuf {
    let sql = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
    let folder: String =
        database.client().await.query_one(sql, &[]).await.expect("a folder").get(0);
    Path::new(&folder).join(name)
}

/// Runs a program as the owner of `folder`, whom the server's socket trusts.
async fn as_owner(folder: &Path, program: &Path, arguments: &[&str]) {
    use std::os::unix::fs::MetadataExt;

    let owner = std::fs::metadata(folder).expect("a folder");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    if nix::unistd::geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let output = within("a program of PostgreSQL's", command.output()).await.expect("a program");
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A live subscriber and its cursor.
async fn live(relay: &Relay) -> (progress_relay::client::ws::Subscriber, String) {
    let mut subscriber = relay.subscribe(&["default"], None).await;
    match within("live", subscriber.next()).await.expect("a frame") {
        Frame::Live { cursor } => (subscriber, cursor),
        other => panic!("{other:?}"),
    }
}

/// Reads frames until a reset, and returns its reason.
async fn reset(subscriber: &mut progress_relay::client::ws::Subscriber) -> String {
    loop {
        match within("a reset", subscriber.next()).await.expect("a connection that stands") {
            Frame::Reset { reason, .. } => break reason,
            Frame::Closed { code, .. } => panic!("closed: {code:?}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_is_restored_under_a_running_relay() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    for n in 0..5 {
        relay.post(&event(n)).await;
    }
    let folder = database.folder();
    let dump = folder.join("dump.sql");
    let url = database.url();
    let dump_flags = ["-d", &url, "-f", dump.to_str().expect("UTF-8"), "--clean", "--if-exists"];
    as_owner(&folder, &program(&database, "pg_dump").await, &dump_flags).await;
    for n in 5..10 {
        relay.post(&event(n)).await;
    }
    let (mut subscriber, cursor) = live(&relay).await;
    let restore_flags =
        ["-q", "-d", &url, "-f", dump.to_str().expect("UTF-8"), "-v", "ON_ERROR_STOP=1"];
    as_owner(&folder, &program(&database, "psql").await, &restore_flags).await;
    // This is the documented step; a relay that finds the ids set back does the same.
    let migrated = run(&["migrate", "--new-epoch", "--database-url", &url], &[]).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    assert_eq!(reset(&mut subscriber).await, "epoch");
    relay.ready().await;
    let mut resumed = relay.subscribe(&["default"], Some(&cursor)).await;
    assert_eq!(reset(&mut resumed).await, "epoch");
    let answer = relay.post(&event(10)).await;
    assert_eq!(answer["accepted"], 1);
    loop {
        if let Frame::Progress { events, .. } =
            within("the event", subscriber.next()).await.expect("a frame")
        {
            assert!(events[0].get().contains("\"n\":10"));
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_is_promoted() {
    // A private PostgreSQL is the primary, because the test kills it.
    let primary_folder = data_folder();
    let first = Relay::serve(&["--data-dir", primary_folder.to_str().expect("UTF-8")]).await;
    let cluster = primary_folder.join("postgresql");
    let pid_file = std::fs::read_to_string(cluster.join("postmaster.pid")).expect("a pid file");
    let lines: Vec<&str> = pid_file.lines().collect();
    let (postmaster, socket) = (lines[0].to_owned(), lines[4].to_owned());
    let hba = cluster.join("pg_hba.conf");
    let rules = std::fs::read_to_string(&hba).expect("rules") + "local replication all trust\n";
    std::fs::write(&hba, rules).expect("rules");
    let binaries = program(&Database::new().await, "").await;
    let standby_folder = data_folder();
    // The tests may run as root, and the server's user must be able to write in the folder.
    as_owner(
        &cluster,
        &binaries.join("pg_ctl"),
        &["reload", "-D", cluster.to_str().expect("UTF-8")],
    )
    .await;
    let standby = standby_folder.join("postgresql");
    std::fs::create_dir_all(&standby_folder).expect("a folder");
    hand_over(&standby_folder, &cluster);
    let standby_text = standby.to_str().expect("UTF-8").to_owned();
    let base = ["-D", &standby_text, "-R", "-c", "fast", "-h", &socket, "-U", "postgres"];
    as_owner(&cluster, &binaries.join("pg_basebackup"), &base).await;
    let log = standby_folder.join("log");
    let options = format!("-k {} -c listen_addresses= -c port=5433", standby_folder.display());
    let start =
        ["start", "-w", "-D", &standby_text, "-l", log.to_str().expect("UTF-8"), "-o", &options];
    as_owner(&standby_folder, &binaries.join("pg_ctl"), &start).await;

    // The tested relay knows both servers and connects to the primary.
    let url = format!(
        "host={socket},{} port=5432,5433 user=postgres dbname=progress \
             target_session_attrs=read-write",
        standby_folder.display()
    );
    let relay = Relay::serve(&["--database-url", &url]).await;
    relay.post(&event(1)).await;
    let (mut subscriber, cursor) = live(&relay).await;
    // The standby has every event before the primary is killed.
    let client = Database::session(&standby_folder, 5433, "progress").await;
    until("the standby to have caught up", || async {
        let rows = client.query("SELECT FROM progress_event", &[]).await.expect("an answer");
        (rows.len() == 1).then_some(())
    })
    .await;
    first.kill().await;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(postmaster.parse().expect("a pid")),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("a postmaster");
    as_owner(&standby_folder, &binaries.join("pg_ctl"), &["promote", "-w", "-D", &standby_text])
        .await;
    assert_eq!(reset(&mut subscriber).await, "epoch");
    relay.ready().await;
    let mut resumed = relay.subscribe(&["default"], Some(&cursor)).await;
    assert_eq!(reset(&mut resumed).await, "epoch");
    assert_eq!(relay.post(&event(2)).await["accepted"], 1);
}

/// Gives a folder to the owner of another one.
fn hand_over(folder: &Path, like: &Path) {
    use std::os::unix::fs::{MetadataExt, chown};

    let owner = std::fs::metadata(like).expect("a folder");
    if nix::unistd::geteuid().is_root() {
        chown(folder, Some(owner.uid()), Some(owner.gid())).expect("another owner");
    }
}
