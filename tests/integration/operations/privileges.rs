//! Roles and grants: `migrate --grant`, the look at the start, and the statements that a relay's
//! role can and cannot run.

use std::collections::BTreeSet;

use progress_relay::database::{LEFT_OUT, NEEDS, Object};
use tokio_postgres::error::SqlState;

use crate::support::{Database, Relay, Roles, event, readiness, until};

/// The statement that takes a privilege from the relay's role.
pub fn revoke(roles: &Roles, object: Object, privilege: &str) -> String {
    let object = match object {
        Object::Database => format!("DATABASE {}", roles.database.name()),
        Object::Schema => "SCHEMA \"The app\"".to_owned(),
        Object::Table(name) => name.to_owned(),
        Object::Sequence(name) => format!("SEQUENCE {name}"),
        Object::Function(name) => format!("FUNCTION {name}"),
    };
    format!("REVOKE {privilege} ON {object} FROM \"{}\"", roles.relay)
}

/// Every privilege of the list, by column, with the object as messages name it.
pub fn every_privilege() -> Vec<(Object, String, String)> {
    let mut all = Vec::new();
    for need in NEEDS {
        let object = match need.object {
            Object::Database => "database".to_owned(),
            Object::Schema => "schema \"The app\"".to_owned(),
            Object::Table(name) => name.to_owned(),
            Object::Sequence(name) => format!("sequence {name}"),
            Object::Function(name) => format!("function {name}"),
        };
        for privilege in need.privileges {
            let mut add = |text| all.push((need.object, text, object.clone()));
            match privilege.columns {
                [] => add(privilege.name.to_owned()),
                columns => {
                    for column in columns {
                        add(format!("{} ({column})", privilege.name));
                    }
                }
            }
        }
    }
    assert!(all.len() > 40, "{all:?}");
    all
}

/// Each privilege that is missing is named by a start, alone, with the statement that grants it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_names_each_missing_grant() {
    let roles = Roles::granted().await;
    let admin = roles.admin().await;
    let serve = ["serve", "--no-migrate", "--bind", "127.0.0.1:0"];
    for (object, privilege, name) in every_privilege() {
        if object == Object::Database {
            continue;
        }
        let revoke = revoke(&roles, object, &privilege);
        admin.batch_execute(&revoke).await.expect("revoked");
        let ended = roles.run(&serve).await;
        assert_eq!(ended.code, Some(1), "{revoke}: {}", ended.stderr);
        let role = format!("\"{}\"", roles.relay);
        let lacks = format!("role {role} lacks {privilege} on {name}: run `progress-relay migrate");
        assert!(ended.stderr.contains(&lacks), "{revoke}: {}", ended.stderr);
        let (_, grant) = ended.stderr.split_once("or: ").expect("a statement");
        admin.batch_execute(grant).await.expect("the statement of the message works");
    }
    roles.serve(&[]).await;
}

/// All missing grants are in one message, also where the schema is hidden.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_names_all_missing_grants_at_once() {
    let roles = Roles::new().await;
    assert_eq!(roles.migrate(&[]).await.code, Some(0));
    let admin = roles.admin().await;
    let connect =
        format!("GRANT CONNECT ON DATABASE {} TO \"{}\"", roles.database.name(), roles.relay);
    admin.batch_execute(&connect).await.expect("granted");
    for flags in [&["serve", "--bind", "127.0.0.1:0"][..], &["serve", "--no-migrate"]] {
        let ended = roles.run(flags).await;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        for need in NEEDS.iter().filter(|need| need.object != Object::Database) {
            assert!(ended.stderr.contains(need.object.name()), "{}: {need:?}", ended.stderr);
        }
        assert!(ended.stderr.contains("USAGE on schema \"The app\""), "{}", ended.stderr);
        let command = format!("migrate --grant '{}'` as the owner", roles.relay);
        assert!(ended.stderr.contains(&command), "{}", ended.stderr);
    }
}

/// `serve` without --no-migrate, and a new epoch, need no right to create tables where no migration
/// is missing. Where one is, the message says who has to apply it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_create_starts_on_a_migrated_database() {
    let roles = Roles::granted().await;
    let url = roles.database.url_as(&roles.relay);
    let relay = Relay::serve(&["--database-url", &url]).await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
    let renewed = roles.run(&["migrate", "--new-epoch"]).await;
    assert_eq!(renewed.code, Some(0), "{}", renewed.stderr);
    drop(relay);

    let admin = roles.admin().await;
    let newest = progress_relay::migrate::MIGRATIONS.last().expect("migrations").name;
    let forget = format!("DELETE FROM relay_migration WHERE name = '{newest}'");
    admin.batch_execute(&forget).await.expect("a migration that is missing");
    let ended = roles.run(&["serve", "--bind", "127.0.0.1:0"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let advice = format!(
        "the database lacks migration {newest}, and this role may not apply it: run \
         `progress-relay migrate` as the owner"
    );
    assert!(ended.stderr.contains(&advice), "{}", ended.stderr);

    let empty = Roles::new().await;
    let access = format!(
        "GRANT CONNECT ON DATABASE {0} TO \"{1}\"; GRANT USAGE ON SCHEMA \"The app\" TO \"{1}\"",
        empty.database.name(),
        empty.relay
    );
    empty.admin().await.batch_execute(&access).await.expect("access");
    let ended = empty.run(&["serve", "--bind", "127.0.0.1:0"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("as the owner of the tables"), "{}", ended.stderr);
}

/// The access lists of everything that is granted on.
async fn access(roles: &Roles) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', relname, relacl::text) FROM pg_class WHERE relacl IS NOT NULL \
         UNION ALL SELECT concat_ws(' ', attrelid::regclass, attname, attacl::text) \
            FROM pg_attribute WHERE attacl IS NOT NULL \
         UNION ALL SELECT concat_ws(' ', oid::regprocedure, proacl::text) FROM pg_proc \
         UNION ALL SELECT concat_ws(' ', nspname, nspacl::text) FROM pg_namespace \
         UNION ALL SELECT concat_ws(' ', datname, datacl::text) FROM pg_database \
            WHERE datname = current_database() ORDER BY 1";
    let rows = roles.admin().await.query(sql, &[]).await.expect("access lists");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_are_made_once_and_printed() {
    let roles = Roles::new().await;
    let admin = roles.admin().await;
    let group = format!("group_of_{}", roles.database.name());
    let member = format!("member_of_{}", roles.database.name());
    let create = format!("CREATE ROLE {group}; CREATE ROLE {member} LOGIN IN ROLE {group}");
    admin.batch_execute(&create).await.expect("a group");

    let granted = roles.migrate(&["--grant", &roles.relay, "--grant", &group]).await;
    assert_eq!(granted.code, Some(0), "{}", granted.stderr);
    for role in [format!("\"{}\"", roles.relay), group.clone()] {
        let expected = format!(
            "\nGRANT SELECT, INSERT (event_id, class_id, student_id, occurred_at, body) ON \
             \"The app\".progress_event TO {role};\n"
        );
        assert!(granted.stdout.contains(&expected), "{}", granted.stdout);
        let count = granted.stdout.matches(&format!(" TO {role};\n")).count();
        assert_eq!(count, NEEDS.len(), "{}", granted.stdout);
    }
    let before = access(&roles).await;
    let again = roles.migrate(&["--grant", &roles.relay, "--grant", &group]).await;
    assert_eq!((again.code, again.stdout.contains("GRANT")), (Some(0), false), "{}", again.stdout);
    assert!(again.stdout.contains("every grant was there already"), "{}", again.stdout);
    assert_eq!(access(&roles).await, before);

    // A member of the group can run a relay.
    let url = roles.database.url_as(&member);
    let relay = Relay::serve(&["--no-migrate", "--database-url", &url]).await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);

    // Only what is missing is granted, and nothing that was granted otherwise is revoked.
    let change = format!(
        "REVOKE DELETE ON cell_state FROM \"{0}\"; GRANT DELETE ON progress_event TO \"{0}\"",
        roles.relay
    );
    admin.batch_execute(&change).await.expect("changed");
    let third = roles.migrate(&["--grant", &roles.relay]).await;
    let grants: Vec<&str> = third.stdout.lines().filter(|line| line.contains("GRANT")).collect();
    let expected = format!("GRANT DELETE ON \"The app\".cell_state TO \"{}\";", roles.relay);
    assert_eq!(grants, [expected]);
    let kept = format!("SELECT has_table_privilege('{}', 'progress_event', 'DELETE')", roles.relay);
    assert!(admin.query_one(&kept, &[]).await.expect("an answer").get::<_, bool>(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_that_cannot_be_made_are_refused_as_a_whole() {
    let roles = Roles::new().await;
    assert_eq!(roles.migrate(&[]).await.code, Some(0));
    let before = access(&roles).await;
    for name in ["public", "PUBLIC"] {
        let refused = roles.migrate(&["--grant", name]).await;
        assert_eq!(refused.code, Some(2), "{}", refused.stdout);
        assert!(refused.stderr.contains("not for PUBLIC"), "{}", refused.stderr);
    }
    let unknown = roles.migrate(&["--grant", &roles.relay, "--grant", "no'such\"role"]).await;
    assert_eq!(unknown.code, Some(1), "{}", unknown.stdout);
    assert!(unknown.stderr.contains("no'such\\\"role"), "{}", unknown.stderr);
    assert_eq!(access(&roles).await, before);

    // A role that does not own the tables.
    let other = format!("other_of_{}", roles.database.name());
    let create = format!(
        "CREATE ROLE {other} LOGIN; GRANT CONNECT ON DATABASE {} TO {other}; \
         GRANT ALL ON SCHEMA \"The app\" TO {other}; \
         GRANT ALL ON ALL TABLES IN SCHEMA \"The app\" TO {other}",
        roles.database.name()
    );
    roles.admin().await.batch_execute(&create).await.expect("a role");
    let before = access(&roles).await;
    let url = roles.database.url_as(&other);
    let arguments = ["migrate", "--database-url", &url, "--grant", &roles.relay];
    let refused = crate::support::run(&arguments, &[]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("as the owner"), "{}", refused.stderr);
    assert_eq!(access(&roles).await, before);
}

/// A migration that adds a table, a sequence or a function must decide whether a relay needs it.
#[tokio::test]
async fn every_object_of_the_schema_is_granted_or_left_out() {
    let database = Database::migrated().await;
    let sql = "SELECT relname::text FROM pg_class WHERE relkind = ANY('{r,p,v,m,S,f}') \
           AND relnamespace = current_schema()::regnamespace \
         UNION ALL SELECT concat(proname, '(', oidvectortypes(proargtypes), ')') FROM pg_proc \
           WHERE pronamespace = current_schema()::regnamespace";
    let rows = database.client().await.query(sql, &[]).await.expect("objects");
    let existing: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let needed = NEEDS.iter().map(|need| need.object.name()).filter(|name| !name.is_empty());
    let left_out = LEFT_OUT.iter().map(|(name, _)| *name);
    let listed: Vec<String> = needed.chain(left_out).map(str::to_owned).collect();
    let distinct: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(distinct.len(), listed.len(), "an object is listed twice: {listed:?}");
    assert_eq!(existing, distinct, "the schema, then NEEDS and LEFT_OUT of database/privileges.rs");
}

/// A relay's role can store events, and cannot change the log or the schema. Each statement is run
/// in a session of that role.
#[tokio::test]
async fn a_relays_role_can_append_and_nothing_more() {
    const EVENT: &str = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
         body) VALUES (gen_random_uuid(), 'c', 's', now(), '{}')";
    let can = [
        EVENT,
        "SELECT * FROM progress_event",
        "SELECT * FROM relay_migration",
        "SELECT progress_event_lock()",
        "UPDATE progress_log SET nonce = 'abcdefabcdef'",
        "SELECT setval('progress_event_id_seq', 1000)",
        "DELETE FROM class_state",
        "LISTEN progress_event",
        "SELECT pg_notify('progress_event', '')",
    ];
    let cannot = [
        "DELETE FROM progress_event",
        "UPDATE progress_event SET body = '{}'",
        "UPDATE progress_event SET received_at = now()",
        "TRUNCATE progress_event",
        "INSERT INTO progress_event (id, event_id, class_id, student_id, occurred_at, body) \
         OVERRIDING SYSTEM VALUE VALUES (7, gen_random_uuid(), 'c', 's', now(), '{}')",
        "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body, \
         received_at) VALUES (gen_random_uuid(), 'c', 's', now(), '{}', now())",
        "COPY progress_event TO PROGRAM 'cat'",
        "BEGIN; LOCK TABLE progress_event IN ACCESS EXCLUSIVE MODE; ROLLBACK",
        "ALTER TABLE progress_event ADD COLUMN more text",
        "ALTER TABLE progress_event DISABLE TRIGGER progress_event_order",
        "ALTER TABLE progress_event DISABLE TRIGGER ALL",
        "ALTER SEQUENCE progress_event_id_seq RESTART",
        "CREATE INDEX ON progress_event (student_id)",
        "CREATE TRIGGER mine AFTER DELETE ON progress_event FOR EACH STATEMENT EXECUTE FUNCTION \
         progress_event_deleted()",
        "CREATE RULE mine AS ON DELETE TO progress_event DO INSTEAD NOTHING",
        "DROP TABLE progress_event",
        "DROP FUNCTION progress_event_lock()",
        "CREATE OR REPLACE FUNCTION progress_event_lock() RETURNS void LANGUAGE sql AS ''",
        "SELECT progress_event_deleted()",
        "INSERT INTO relay_migration VALUES (99, 'mine', '0.1.0')",
        "UPDATE relay_migration SET version = 0",
        "DELETE FROM relay_migration",
        "UPDATE progress_log SET pruned_id = 0",
        "UPDATE progress_log SET singleton = true",
        "INSERT INTO progress_log DEFAULT VALUES",
        "DELETE FROM progress_log",
        "UPDATE progress_deletion SET deletion = 0",
        "TRUNCATE progress_deletion",
        "DELETE FROM state_through",
        "INSERT INTO state_through VALUES (true, 0, '')",
        "TRUNCATE class_state",
        "UPDATE refused_event SET reason = ''",
        "UPDATE audit_entry SET subject = ''",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
        "INSERT INTO audit_entry (id, at, action, address) OVERRIDING SYSTEM VALUE \
         VALUES (1, now(), '', '::1')",
        "CREATE TABLE mine ()",
        "CREATE TABLE public.mine ()",
        "CREATE TEMP TABLE mine ()",
        "CREATE FUNCTION mine() RETURNS void LANGUAGE sql AS ''",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "SET session_replication_role = replica",
        "ALTER SYSTEM SET fsync = off",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT * FROM private.secret",
    ];
    let roles = Roles::granted().await;
    let secret = "CREATE SCHEMA private; CREATE TABLE private.secret ()";
    roles.admin().await.batch_execute(secret).await.expect("another schema");
    let client = roles.database.client_as(&roles.relay).await;
    for statement in can {
        client.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }
    // PostgreSQL answers this with a warning; the role has no more privileges than before.
    let grant = "GRANT ALL ON progress_event, progress_log, relay_migration TO current_user";
    client.batch_execute(grant).await.expect("a warning");
    for statement in cannot {
        let error = client.batch_execute(statement).await.expect_err(statement);
        client.batch_execute("ROLLBACK").await.expect("the end of a transaction");
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
    }
}

/// A grant that is revoked while a relay runs is named, and POSTs are answered 503 until it is
/// back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_is_revoked_under_a_running_relay_is_named() {
    let roles = Roles::granted().await;
    let relay = roles.serve(&["--commit-timeout", "1s"]).await;
    let admin = roles.admin().await;
    let change = |change: &str, direction: &str| {
        format!("{change} INSERT (body) ON progress_event {direction} \"{}\"", roles.relay)
    };
    admin.batch_execute(&change("REVOKE", "FROM")).await.expect("revoked");
    let named = until("the grant to be named", async || {
        let (status, checks) = readiness(&relay).await;
        assert_eq!(status, 200, "all replicas share the cause");
        let named = checks["privileges"].as_str().expect("text").to_owned();
        (named != "ok").then_some(named)
    })
    .await;
    assert!(named.contains("lacks INSERT (body) on progress_event"), "{named}");
    let answer = relay.try_post(&event(1)).await;
    assert_eq!(answer.status, 503);
    assert!(String::from_utf8_lossy(&answer.body).contains("permission denied"));
    until("a line in the log", async || relay.log().contains(&named).then_some(())).await;
    admin.batch_execute(&change("GRANT", "TO")).await.expect("granted");
    until("the POST to be taken", async || {
        (relay.try_post(&event(1)).await.status == 200).then_some(())
    })
    .await;
    until("no grant to be named", async || {
        (readiness(&relay).await.1["privileges"] == "ok").then_some(())
    })
    .await;
}

/// The relay's role may not see the age of other roles' transactions. The session that keeps
/// writers waiting is named all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_holder_of_a_lock_is_named_without_the_right_to_read_statistics() {
    const READ: &str = "SELECT FROM progress_event";
    let roles = Roles::granted().await;
    let relay = roles.serve(&["--commit-timeout", "1s"]).await;
    relay.post(&event(1)).await;
    let cases: [(&str, Option<&str>); 3] = [
        ("SELECT progress_event_lock()", None),
        ("LOCK TABLE progress_event", None),
        (READ, Some("ALTER TABLE progress_event ADD COLUMN more text")),
    ];
    for (statement, waiting) in cases {
        let holder = roles.database.client_as(&roles.owner).await;
        let pid = "SELECT pg_backend_pid(), set_config('application_name', 'a report', false)";
        let pid: i32 = holder.query_one(pid, &[]).await.expect("a pid").get(0);
        holder.batch_execute(&format!("BEGIN; {statement}")).await.expect("a lock");
        let admin = roles.admin().await;
        let change =
            waiting.map(|change| tokio::spawn(async move { admin.batch_execute(change).await }));
        let named = until("the holder to be named", async || {
            let status = relay.try_post(&event(2)).await.status;
            let named = readiness(&relay).await.1["lock"].as_str().expect("text").to_owned();
            assert!(status == 503 || waiting.is_some(), "{statement}: {status}, {named}");
            (named != "ok").then_some(named)
        })
        .await;
        let expected = format!(
            "of role \"{}\", application \"a report\", pid {pid}; its transaction's age is hidden \
             from this role",
            roles.owner
        );
        assert!(named.contains(&expected), "{statement}: {named}");
        until("a line in the log", async || relay.log().contains(&expected).then_some(())).await;
        holder.batch_execute("COMMIT").await.expect("the lock back");
        if let Some(change) = change {
            change.await.expect("a task").expect("the change");
        }
        until("the POST to be taken", async || {
            (relay.try_post(&event(3)).await.status == 200).then_some(())
        })
        .await;
        until("nobody to be named", async || {
            (readiness(&relay).await.1["lock"] == "ok").then_some(())
        })
        .await;
    }
}
