//! Settings of the role, of the server, and the relay's own.

use super::fixture::{Installation, assert_remark, assert_wrong, cluster, doctor};
use crate::support::{Database, Rewriter};

#[tokio::test]
async fn settings_that_do_not_reach_the_session_are_wrong() {
    let installation = Installation::new().await;
    let (asked, set) = ("SET lock_timeout = 0", "SET lock_timeout = 7");
    let meddler = Rewriter::before(cluster().await.address(), asked, set).await;
    let flags = ["--database-url", &*installation.url_by(meddler.address)];
    let what = assert_wrong("settings.relay", &[], &flags).await;
    assert!(what.contains("lock_timeout=7ms"), "{what}");
    let meddler = Rewriter::before(cluster().await.address(), asked, "SET lick_timeout = 0").await;
    let flags = ["--database-url", &installation.url_by(meddler.address)];
    // The session that would listen has the same fault.
    let what = assert_wrong("settings.relay", &["listen"], &flags).await;
    assert!(what.contains("lick_timeout"), "{what}");
}

#[tokio::test]
async fn a_schema_that_does_not_exist_is_wrong() {
    let installation = Installation::new().await;
    let url = format!("{} schema=absent", installation.url);
    let what = assert_wrong("settings.relay", &[], &["--database-url", &url]).await;
    assert!(what.contains("no schema \"absent\""), "{what}");
}

/// Whatever a role has set for other applications, the relay's own settings take its place.
#[tokio::test]
async fn settings_of_the_database_are_a_remark() {
    let installation = Installation::new().await;
    for setting in [
        "statement_timeout = '300ms'",
        "lock_timeout = '50ms'",
        "idle_session_timeout = '5s'",
        "default_transaction_isolation = 'serializable'",
        "synchronous_commit = off",
        "default_transaction_read_only = on",
    ] {
        installation.sql(&format!("ALTER DATABASE {} SET {setting}", installation.name)).await;
    }
    let flags = ["--database-url", &installation.url];
    let what = assert_remark("settings.role", &flags).await;
    assert!(what.contains("statement_timeout=300ms") && what.contains("read_only=on"), "{what}");
    let examined = doctor(&flags).await;
    let to_do = examined.of("settings.role", "remark")[0]["to_do"].as_str().expect("commands");
    // Line by line, as psql does.
    let client = installation.client().await;
    for line in to_do.lines() {
        client.batch_execute(line).await.expect("its command");
    }
    assert_eq!(doctor(&flags).await.of("settings.role", "right").len(), 1, "{to_do}");
}

#[tokio::test]
async fn code_in_the_servers_log_is_wrong() {
    let installation = Installation::new().await;
    let flags = ["--database-url", &*installation.url];
    let set = async |setting: &str| {
        installation.sql(&format!("ALTER DATABASE {} {setting}", installation.name)).await;
    };
    for setting in ["log_statement = 'mod'", "log_min_duration_statement = 0"] {
        set(&format!("SET {setting}")).await;
        let what = assert_wrong("settings.log", &[], &flags).await;
        let name = setting.split(' ').next().expect("a name");
        assert!(what.contains(name), "{what}");
        set("RESET ALL").await;
    }
    set("SET log_min_duration_statement = '250ms'").await;
    let what = assert_remark("settings.log", &flags).await;
    assert!(what.contains("250ms"), "{what}");
    // Without the parameters there is no code in the log.
    set("SET log_statement = 'all'").await;
    set("SET log_parameter_max_length = 0").await;
    assert_eq!(doctor(&flags).await.with("wrong"), [""; 0]);
}

/// The tests' common server has fsync off.
#[tokio::test]
async fn a_server_that_loses_commits_is_wrong() {
    let database = Database::migrated().await;
    let what = assert_wrong("settings.durability", &[], &["--database-url", &database.url()]).await;
    assert!(what.contains("fsync=off"), "{what}");
}
