//! The URLs of the database on the command line: the files that hold them, poolers, and messages
//! that never show a password.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Database, data_folder, run};

/// Writes a file with this mode into a folder of its own.
fn file(name: &str, content: &str, mode: u32) -> PathBuf {
    let folder = data_folder();
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(name);
    std::fs::write(&file, content).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("its mode");
    file
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Runs `migrate`, which must refuse its flags or variables with all of `words`.
async fn refused(flags: &[&str], environment: &[(&str, &str)], words: &[&str]) {
    let finished = run(&[&["migrate"], flags].concat(), environment).await;
    assert_eq!(finished.code, Some(2), "{flags:?} {environment:?}: {}", finished.stderr);
    for word in words {
        assert!(finished.stderr.contains(word), "{word} in {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
}

#[tokio::test]
async fn urls_are_read_from_files() {
    let database = Database::new().await;
    let url = database.url();
    let holds_url = file("url", &format!("{url}\n"), 0o444);
    let by_flag = run(&["migrate", "--database-url-file", text(&holds_url)], &[]).await;
    assert_eq!(by_flag.code, Some(0), "{}", by_flag.stderr);
    let variables =
        [("DATABASE_URL_FILE", text(&holds_url)), ("RELAY_LISTEN_URL_FILE", text(&holds_url))];
    let by_variable = run(&["migrate"], &variables).await;
    assert_eq!(by_variable.code, Some(0), "{}", by_variable.stderr);
    assert!(by_variable.stdout.contains("up to date"), "{}", by_variable.stdout);

    let both = ["--database-url-file (DATABASE_URL_FILE)", "--database-url (DATABASE_URL)"];
    refused(&["--database-url-file", text(&holds_url)], &[("DATABASE_URL", &url)], &both).await;
    let both = ["--listen-url-file (RELAY_LISTEN_URL_FILE)", "--listen-url (RELAY_LISTEN_URL)"];
    let flags = ["--listen-url", &url, "--listen-url-file", text(&holds_url)];
    refused(&flags, &[("DATABASE_URL", &url)], &both).await;
    let absent = ["--database-url-file", "/nowhere/url", "No such file"];
    refused(&["--database-url-file", "/nowhere/url"], &[], &absent).await;
    let empty = file("empty", "\n", 0o600);
    refused(&[], &[("DATABASE_URL_FILE", text(&empty))], &["DATABASE_URL_FILE", "is empty"]).await;
    let wrong = file("wrong", "postgres://relay:hunter2@db:port/x", 0o600);
    refused(&[], &[("DATABASE_URL_FILE", text(&wrong))], &["DATABASE_URL_FILE", "the port"]).await;
    refused(&["--listen-url-file", text(&holds_url)], &[], &["--listen-url-file"]).await;
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_named_with_its_flag() {
    const LISTEN: &str = "RELAY_LISTEN_URL";
    for (url, word) in [
        ("postgres://relay:hunter2@db:port/x", "the port is no number"),
        ("postgres://relay:hunter2/x@db/x", "%2F"),
        ("postgres://relay:12/hunter2@db/x", "%2F"),
        ("postgres://relay:hunter2@db/x?sslmod=require", "the nearest known one is sslmode"),
        ("postgres://relay:hunter2@db/x?require_auth=none", "require_auth"),
        ("postgres://relay:hunter2@db/x?target_session_attrs=standby", "target_session_attrs"),
        ("host=db password=hunter2 hunter2", "NAME=VALUE"),
        ("jdbc:postgresql://db/x?password=hunter2", "postgres://USER:PASSWORD@HOST"),
    ] {
        refused(&[], &[("DATABASE_URL", url)], &["--database-url (DATABASE_URL)", word]).await;
        let listen = [("DATABASE_URL", "postgres://db/x"), (LISTEN, url)];
        refused(&[], &listen, &["--listen-url (RELAY_LISTEN_URL)", word]).await;
    }
    let variable = [("DATABASE_URL", "postgres://db/x"), ("PGSSLMODE", "hunter2")];
    refused(&[], &variable, &["PGSSLMODE: write disable"]).await;
}

#[tokio::test]
async fn a_pooled_url_needs_a_direct_one_beside_it() {
    let database = Database::new().await;
    let direct = database.url();
    let pooled = "postgres://relay:hunter2@pooler/x?pgbouncer=true&connection_limit=1";
    let hint = ["pgbouncer=true", "--listen-url"];
    refused(&["--database-url", pooled], &[], &hint).await;
    refused(&["--database-url", &direct, "--listen-url", pooled], &[], &hint).await;
    let other = ["--database-url", "postgres://pooler/x?schema=other", "--listen-url", &direct];
    refused(&other, &[], &["different schemas", "schema="]).await;
    let flags = ["migrate", "--database-url", pooled, "--listen-url", &direct];
    let finished = run(&flags, &[]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

#[tokio::test]
async fn a_password_file_that_others_may_read_is_warned_of_once() {
    let database = Database::new().await;
    let url = database.url();
    let secrets = file(".pgpass", "*:*:*:*:hunter2", 0o644);
    let home = secrets.parent().expect("a folder");
    let flags = ["migrate", "--database-url", &url, "--listen-url", &url];
    let finished = run(&flags, &[("HOME", text(home))]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(finished.stderr.matches("chmod 600").count(), 1, "{}", finished.stderr);
    assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
    std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    let finished = run(&flags, &[("HOME", text(home))]).await;
    assert!(!finished.stderr.contains("chmod"), "{}", finished.stderr);
}

#[tokio::test]
async fn variables_and_services_complete_the_url() {
    let database = Database::new().await;
    let folder = database.folder();
    let (socket, port) = (text(&folder), database.port().to_string());
    let variables = [("PGHOST", socket), ("PGPORT", &port), ("PGUSER", "postgres")];
    let name = database.name();
    for url in [format!("postgres:///{name}"), format!("dbname={name}")] {
        let finished = run(&["migrate", "--database-url", &url], &variables).await;
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    }
    let service = format!("[lesson]\nhost={socket}\nport={port}\nuser=postgres\ndbname={name}\n");
    let services = file("services", &service, 0o644);
    let environment = [("PGSERVICEFILE", text(&services)), ("PGSERVICE", "lesson")];
    let finished = run(&["migrate", "--database-url", "postgres://"], &environment).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stdout.contains("up to date"), "{}", finished.stdout);
    let escaped = format!(
        "postgresql+asyncpg://postgres@{}:{port}/{name}?application_name=mine",
        socket.replace('/', "%2F")
    );
    let finished = run(&["migrate", "--database-url", &escaped], &[]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

/// A shell in which psql works must not make the relay use that database instead of its own.
#[tokio::test]
async fn variables_alone_name_no_database() {
    let taken = file("taken", "", 0o600);
    let folder = taken.join("data");
    let environment = [("PGHOST", "127.0.0.1"), ("PGPORT", "1"), ("PGDATABASE", "x")];
    let finished = run(&["migrate", "--data-dir", text(&folder)], &environment).await;
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains(text(&folder)), "{}", finished.stderr);
}

/// A start does not wait for what only an operator can correct.
#[tokio::test]
async fn options_that_the_server_does_not_take_end_a_start_at_once() {
    let database = Database::new().await;
    for (options, code) in [
        ("endpoint=ep-cool-1", "42601"),
        ("-c shared_buffers=1GB", "55P02"),
        ("-c no_such_setting=1", "42704"),
        ("-c work_mem=much", "22023"),
    ] {
        let url = format!("{} options='{options}'", database.url());
        let flags = ["serve", "--bind", "127.0.0.1:0", "--start-patience", "forever"];
        let finished = run(&[&flags[..], &["--database-url", &url]].concat(), &[]).await;
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        assert!(finished.stderr.contains(code), "{code}: {}", finished.stderr);
    }
}

/// A file as editors of Windows write it.
#[tokio::test]
async fn a_url_in_a_file_may_follow_a_byte_order_mark() {
    let database = Database::new().await;
    let marked = file("marked", &format!("\u{feff}{}\r\n", database.url()), 0o600);
    let finished = run(&["migrate", "--database-url-file", text(&marked)], &[]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}
