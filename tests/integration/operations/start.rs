//! The start of a relay: its answers before the database answers, and when it gives up.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::stage::Cluster;
use crate::support::{Database, Relay, data_folder, event, readiness, run, until};

/// The database is away at the start. The relay listens, and its answers name the cause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_answers_before_the_database_does() {
    let database = Database::new().await;
    database.allow_connections(false).await;
    let relay = Relay::begin(&[
        "--database-url",
        &database.url(),
        "--start-patience",
        "forever",
        "--commit-timeout",
        "1s",
    ])
    .await;
    let alive = relay.connection().await.get("/healthz").await.expect("an answer");
    assert_eq!(alive.status, 200);
    let cause = until("the cause to be shown", async || {
        let (status, checks) = readiness(&relay).await;
        assert_eq!(status, 503);
        let start = checks["start"].as_str().expect("text").to_owned();
        start.contains("not currently accepting connections").then_some(start)
    })
    .await;
    assert!(cause.contains("55000"), "PostgreSQL's words: {cause}");
    let response = relay.try_post(&event(1)).await;
    assert_eq!(response.status, 503);
    assert!(response.header("access-control-allow-origin").is_some(), "a browser may read it");
    database.allow_connections(true).await;
    relay.ready().await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
}

#[tokio::test]
async fn a_start_gives_up_after_its_patience() {
    let database = Database::new().await;
    database.allow_connections(false).await;
    let flags = [
        "serve",
        "--bind",
        "127.0.0.1:0",
        "--start-patience",
        "500ms",
        "--database-url",
        &database.url(),
    ];
    let began = Instant::now();
    let ended = run(&flags, &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("not currently accepting connections"), "{}", ended.stderr);
    assert!(began.elapsed() < Duration::from_secs(20));
    let wrong = run(&["serve", "--start-patience", "soon"], &[]).await;
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("forever"), "{}", wrong.stderr);
}

/// `/readyz` names the server of each connection.
#[tokio::test]
async fn readiness_names_the_servers() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    // One writer is enough to be ready; the other may still be connecting.
    let body = until("the servers of all connections", async || {
        let response = relay.connection().await.get("/readyz").await.expect("an answer");
        let body: Value = response.json().expect("JSON");
        let named = |part: &&str| body["servers"][*part].as_str().is_some();
        ["tail", "listener", "writer 1", "writer 2"].iter().all(named).then_some(body)
    })
    .await;
    for server in body["servers"].as_object().expect("servers").values() {
        assert!(server.as_str().is_some_and(|server| server.contains("port")), "{server}");
    }
    assert_eq!(body["checks"]["start"], json!("ok"));
}

/// Some container platforms run programs with a user id that has no name.
#[tokio::test]
async fn a_user_without_a_name_is_told_what_to_do() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can become a user without a name");
        return;
    }
    const NOBODY_KNOWS: u32 = 54_321;
    let folder = data_folder();
    std::fs::create_dir(&folder).expect("a folder");
    chown(&folder, Some(NOBODY_KNOWS), Some(NOBODY_KNOWS)).expect("an owner");
    let program = folder.join("progress-relay");
    std::fs::copy(env!("CARGO_BIN_EXE_progress-relay"), &program).expect("a copy");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("rights");
    let output = std::process::Command::new(&program)
        .args(["serve", "--bind", "127.0.0.1:0", "--data-dir"])
        .arg(folder.join("data"))
        .env("HOME", &folder)
        .current_dir(&folder)
        .uid(NOBODY_KNOWS)
        .gid(NOBODY_KNOWS)
        .output()
        .expect("the program");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("54321") && text.contains("--database-url"), "{text}");
    assert!(!text.contains("could not look up"), "initdb's own words: {text}");
}

/// An operator has to act, so the start does not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_end_the_start_at_once() {
    let primary = Cluster::primary("primary").await;
    let admin = primary.session("postgres").await;
    let roles = "\
        CREATE ROLE teacher LOGIN PASSWORD 'right'; CREATE ROLE nobody LOGIN; \
        CREATE DATABASE closed; REVOKE CONNECT ON DATABASE closed FROM PUBLIC";
    for role in roles.split("; ") {
        admin.batch_execute(role).await.expect("a role");
    }
    primary.allow("host all all 127.0.0.1/32 scram-sha-256").await;
    let at = primary.address();
    for (url, words) in [
        (format!("postgres://teacher@{at}/progress"), "PGPASSWORD"),
        (format!("postgres://teacher:wrong@{at}/progress"), "28P01"),
        (format!("postgres://stranger:secret@{at}/progress"), "28P01"),
        (format!("postgres://teacher:right@{at}/nowhere"), "3D000"),
        (format!("postgres://teacher:right@{at}/closed"), "42501"),
        (format!("postgres://teacher:right@{at}/progress?sslmode=require"), "TLS"),
    ] {
        let flags = ["serve", "--bind", "127.0.0.1:0", "--start-patience", "forever"];
        let ended = run(&[&flags[..], &["--database-url", &url]].concat(), &[]).await;
        assert_eq!(ended.code, Some(1), "{url}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{url}: {}", ended.stderr);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    }
}
