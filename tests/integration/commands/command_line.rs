//! Flags, messages for people and exit codes of every command.

use progress_relay::migrate::MIGRATIONS;

use crate::support::{Database, Relay, data_folder, event, run, until};

#[tokio::test]
async fn a_wrong_flag_is_named_with_its_value() {
    for (flags, flag, value) in [
        (&["--bind", "nowhere"][..], "--bind", "nowhere"),
        (&["--bind", "0.0.0.0:0"], "--insecure", "0.0.0.0:0"),
        (&["--max-body", "1.5x"], "--max-body", "1.5x"),
        (&["--max-body", "10"], "--max-body", "10"),
        (&["--max-batch", "0"], "--max-batch", "0"),
        (&["--max-batch", "-1"], "--max-batch", "-1"),
        (&["--commit-timeout", "6"], "--commit-timeout", "6"),
        (&["--commit-timeout", "0s"], "--commit-timeout", "0s"),
        (&["--drain", "forever"], "--drain", "forever"),
        (&["--queue-rows", "many"], "--queue-rows", "many"),
        (&["--log-memory", "-1"], "--log-memory", "-1"),
        (&["--allow-origin", "school"], "--allow-origin", "school"),
        (&["--log", "a=b=c"], "--log", "a=b=c"),
        (&["--log-format", "xml"], "--log-format", "xml"),
        (&["--listen-url", "postgres://a/b"], "--listen-url", "--database-url"),
        (&["--database-url", "mysql://db/x"], "--database-url", "postgres://USER:PASSWORD@"),
        (&["--revoked", "/x"], "--revoked", "a source of callers"),
        (&["--jwt-issuer", "x"], "--jwt-issuer", "--jwt-secret-file"),
        (&["--jwt-keys", "http://id.example/"], "--jwt-keys", "use https"),
        (&["--jwt-keys", "/nowhere"], "--jwt-keys", "/nowhere"),
        (&["--jwt-keys-ca", "/x"], "--jwt-keys-ca", "--jwt-keys URL"),
        (&["--jwt-claim-role", "role"], "--jwt-claim-role", "JSON pointer"),
        (&["--unknown"], "--unknown", "unexpected"),
    ] {
        let finished = run(&[&["serve"], flags].concat(), &[]).await;
        assert_eq!(finished.code, Some(2), "{flags:?}: {}", finished.stderr);
        assert!(
            finished.stderr.contains(flag) && finished.stderr.contains(value),
            "{flags:?}: {}",
            finished.stderr
        );
        assert!(finished.stdout.is_empty(), "{}", finished.stdout);
    }
    let finished = run(&["serve"], &[("RELAY_MAX_BATCH", "x")]).await;
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.stderr.contains("--max-batch") && finished.stderr.contains("'x'"),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn an_empty_variable_is_unset_and_a_boolean_takes_1() {
    let database = Database::new().await;
    let url = database.url();
    let finished = run(
        &["migrate"],
        &[("DATABASE_URL", &url), ("RELAY_LISTEN_URL", ""), ("RELAY_NEW_EPOCH", "")],
    )
    .await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let applied: String = progress_relay::migrate::MIGRATIONS
        .iter()
        .map(|m| format!("applied {}\n", m.name))
        .collect();
    assert_eq!(finished.stdout, applied);
    let finished = run(&["migrate"], &[("DATABASE_URL", &url), ("RELAY_NEW_EPOCH", "1")]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(
        finished.stdout.starts_with("the database is up to date\nthe epoch is now "),
        "{}",
        finished.stdout
    );
}

/// A composed environment sets every variable, and most of them to nothing.
#[tokio::test]
async fn every_variable_of_serve_may_be_empty() {
    let help = run(&["serve", "--help"], &[]).await.stdout;
    let names: Vec<&str> =
        help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next()).collect();
    assert!(
        names.len() >= 20 && names.contains(&"RELAY_BIND") && names.contains(&"DATABASE_URL"),
        "{names:?}"
    );
    let environment: Vec<(&str, &str)> = names.iter().map(|&name| (name, "")).collect();
    let database = Database::new().await;
    let url = database.url();
    // The variables are read before any check, so the only error is the wrong flag.
    let finished = run(&["serve", "--database-url", &url, "--max-batch", "0"], &environment).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    let wrong = "'0' for '--max-batch <N>': it must be 1 at least";
    assert!(finished.stderr.contains(wrong), "{}", finished.stderr);
    // The defaults hold: the relay serves on the default port, or names it as being in use.
    let held = tokio::net::TcpListener::bind("127.0.0.1:8000").await;
    let finished = run(&["serve", "--database-url", &url], &environment).await;
    drop(held);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("127.0.0.1:8000"), "{}", finished.stderr);
}

#[tokio::test]
async fn migrations_of_several_at_once_are_applied_by_one() {
    let database = Database::new().await;
    let url = database.url();
    let arguments = ["migrate", "--database-url", &url];
    let runs = futures::future::join_all((0..4).map(|_| run(&arguments, &[]))).await;
    let mut lines: Vec<&str> = Vec::new();
    for finished in &runs {
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        lines.extend(finished.stdout.lines());
    }
    lines.sort_unstable();
    let mut expected: Vec<String> =
        MIGRATIONS.iter().map(|migration| format!("applied {}", migration.name)).collect();
    expected.extend(vec!["the database is up to date".to_owned(); runs.len() - 1]);
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn help_shows_flags_and_no_secret() {
    let secret = "postgres://relay:hunter2@db/progress";
    let finished =
        run(&["serve", "--help"], &[("DATABASE_URL", secret), ("RELAY_LISTEN_URL", secret)]).await;
    assert_eq!(finished.code, Some(0));
    for flag in [
        "--bind",
        "--database-url",
        "--listen-url",
        "--data-dir",
        "--max-body",
        "--max-batch",
        "--max-field",
        "--queue-rows",
        "--queue-bytes",
        "--commit-timeout",
        "--log-memory",
        "--request-timeout",
        "--max-connections",
        "--drain-delay",
        "--drain",
        "--no-migrate",
        "--allow-origin",
        "--insecure",
        "--log",
        "--log-format",
        "DATABASE_URL",
        "RELAY_BIND",
    ] {
        assert!(finished.stdout.contains(flag), "{flag} in {}", finished.stdout);
    }
    assert!(!finished.stdout.contains("hunter2"), "{}", finished.stdout);
    let wrong =
        run(&["serve"], &[("DATABASE_URL", "postgres://relay:hunter2@db:port/progress")]).await;
    assert_eq!(wrong.code, Some(2));
    assert!(!wrong.stderr.contains("hunter2"), "{}", wrong.stderr);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let address = relay.url.authority();
    let finished =
        run(&["serve", "--bind", &address, "--database-url", &database.url()], &[]).await;
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.stderr.contains(&address) && finished.stderr.contains("--bind"),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn a_database_that_is_too_new_or_missing_is_named() {
    let database = Database::migrated().await;
    let url = database.url();
    let flags = ["serve", "--bind", "127.0.0.1:0", "--database-url", &url];
    let client = database.client().await;
    let sql = "INSERT INTO relay_migration (version, name, oldest_release) VALUES (9999, \
         '9999_future', '99.0.0')";
    client.batch_execute(sql).await.expect("a newer release's migration");
    for arguments in [
        &flags[..],
        &[&flags[..], &["--no-migrate"]].concat(),
        &["migrate", "--database-url", &url],
    ] {
        let finished = run(arguments, &[]).await;
        assert_eq!(finished.code, Some(1), "{arguments:?}");
        assert!(
            finished.stderr.contains("9999_future") && finished.stderr.contains("99.0.0"),
            "{}",
            finished.stderr
        );
    }
    // A newer migration that an older release can work with does not stop the relay.
    client
        .batch_execute("UPDATE relay_migration SET oldest_release = '0.1.0' WHERE version = 9999")
        .await
        .expect("older");
    let relay = Relay::start(&database, &[]).await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
    // A running relay withdraws its readiness when a migration appears that it cannot work with.
    client
        .batch_execute("UPDATE relay_migration SET oldest_release = '99.0.0' WHERE version = 9999")
        .await
        .expect("newer");
    until("readiness to be withdrawn", || async {
        let response = relay.connection().await.get("/readyz").await.expect("an answer");
        (response.status == 503 && String::from_utf8_lossy(&response.body).contains("9999_future"))
            .then_some(())
    })
    .await;

    let empty = Database::new().await;
    let flags = ["serve", "--bind", "127.0.0.1:0", "--no-migrate", "--database-url", &empty.url()];
    let finished = run(&flags, &[]).await;
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.stderr.contains("0001_progress_event") && finished.stderr.contains("migrate"),
        "{}",
        finished.stderr
    );
    let missing = empty.url().replace("dbname=test_", "dbname=absent_");
    let finished = run(&["migrate", "--database-url", &missing], &[]).await;
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("absent_"), "{}", finished.stderr);
}

#[tokio::test]
async fn a_data_folder_is_for_one_relay() {
    let folder = data_folder();
    let folder = folder.to_str().expect("UTF-8");
    let relay = Relay::serve(&["--data-dir", folder]).await;
    let second = run(&["serve", "--bind", "127.0.0.1:0", "--data-dir", folder], &[]).await;
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains(&format!("pid {}", relay.pid())), "{}", second.stderr);
    assert!(second.stderr.contains(&relay.url.authority()), "{}", second.stderr);
    // Other commands use the server of the running relay.
    let migrate = run(&["migrate", "--data-dir", folder], &[]).await;
    assert_eq!(
        (migrate.code, &*migrate.stdout),
        (Some(0), "the database is up to date\n"),
        "{}",
        migrate.stderr
    );
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
}
