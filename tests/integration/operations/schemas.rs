//! Several installations in one database, each in a schema: they do not ring, lock, elect or
//! starve each other, and a function means the tables of its own schema.

use progress_relay::database::Connector;
use progress_relay::migrate;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::support::{Database, Relay, event, installation, quoted, role, run, until};

/// Schemas with names that need quotes: capitals, spaces, quotes, Japanese, and 63 bytes.
const NAMES: [&str; 5] = [
    "Capitals And Spaces",
    r#"a "quoted" 'name' \ $"#,
    "学級",
    "of_sixty_three_bytes_which_is_the_longest_name_that_there_can_be",
    "pool;comma,name",
];

/// A session that receives notifications of these channels.
struct Ears {
    client: Client,
    heard: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Ears {
    async fn on(url: &str, channels: &[&str]) -> Self {
        let config: tokio_postgres::Config = url.parse().expect("a URL");
        let (client, mut connection) = config.connect(NoTls).await.expect("a session");
        let (sender, heard) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut messages = futures::stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(Ok(message)) = futures::StreamExt::next(&mut messages).await {
                // The payload of a replica's proof is not empty.
                if let AsyncMessage::Notification(ring) = message
                    && ring.payload().is_empty()
                {
                    let _ = sender.send(ring.channel().to_owned());
                }
            }
        });
        for channel in channels {
            client.batch_execute(&format!("LISTEN {}", quoted(channel))).await.expect("LISTEN");
        }
        Self { client, heard }
    }

    /// The rings of all statements that were committed before this.
    async fn rings(&mut self) -> Vec<String> {
        // Notifications are sent before the answer of the next statement.
        self.client.batch_execute("SELECT").await.expect("an answer");
        self.client.batch_execute("SELECT").await.expect("an answer");
        let mut rings = Vec::new();
        while let Ok(ring) = self.heard.try_recv() {
            rings.push(ring);
        }
        rings
    }
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect("an answer").get(0)
}

/// Waits until the schema's snapshots hold every event.
async fn saved(client: &Client, schema: &str) {
    let sql = format!(
        "SELECT count(*) FROM {schema}.state_through JOIN {schema}.progress_log USING (nonce) \
         WHERE through_id >= (SELECT max(id) FROM {schema}.progress_event)"
    );
    until("snapshots", || async { (count(client, &sql).await == 1).then_some(()) }).await;
}

/// The output of `rebuild-state --check`.
async fn check(url: &str) -> String {
    let check = run(&["rebuild-state", "--check", "--database-url", url], &[]).await;
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
    check.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_installations_of_a_database_do_not_know_each_other() {
    let database = Database::new().await;
    let client = database.client().await;
    let (role_a, role_b) = (role("a"), role("b"));
    let url_a = installation(&database, &role_a, "a", "a").await;
    // The other role's path leads to the first installation's schema too, after its own.
    let url_b = installation(&database, &role_b, "b", "b, a").await;
    let a = Relay::serve(&["--database-url", &url_a]).await;
    let b = Relay::serve(&["--database-url", &url_b]).await;
    let mut ears =
        Ears::on(&database.url(), &["progress_event", "progress_event.a", "progress_event.b"])
            .await;

    for n in 0..7 {
        a.post(&event(n)).await;
    }
    for n in 0..4 {
        b.post(&event(n)).await;
    }
    let rings = ears.rings().await;
    assert_eq!(rings.iter().filter(|ring| *ring == "progress_event.a").count(), 7, "{rings:?}");
    assert_eq!(rings.len(), 11, "{rings:?}");
    let heard = |text: &str| {
        let line =
            text.lines().find(|line| line.starts_with("relay_doorbell_to_read_seconds_count"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).expect("a count")
    };
    let metrics = async |relay: &Relay| {
        let response = relay.connection().await.get("/metrics").await.expect("an answer");
        heard(&String::from_utf8_lossy(&response.body))
    };
    assert!(metrics(&b).await <= 4.0 && metrics(&a).await <= 7.0);

    // Both lead, and each has snapshots of its own events.
    saved(&client, "a").await;
    saved(&client, "b").await;
    for relay in [&a, &b] {
        until("a leader", || async { (relay.terms_as_leader() > 0).then_some(()) }).await;
    }
    assert!(check(&url_a).await.contains("7 events"), "a");
    assert!(check(&url_b).await.contains("4 events"), "b");

    // A session that holds the ordering lock of one of them stops only that one.
    let mut holder = database.client().await;
    let held = holder.transaction().await.expect("a transaction");
    held.execute("SELECT a.progress_event_lock()", &[]).await.expect("the lock");
    b.post(&event(5)).await;
    let (waits, ()) = tokio::join!(async { a.post(&event(8)).await }, async {
        until("a writer that waits", || async {
            let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                 AND classid = 1886545776";
            (count(&client, sql).await == 1).then_some(())
        })
        .await;
        held.rollback().await.expect("the end of it");
    });
    assert_eq!(waits["accepted"], 1);

    // Deletions are announced in their own installation. An operator's path leads elsewhere.
    ears.rings().await;
    client
        .batch_execute("CREATE SCHEMA elsewhere; SET search_path = elsewhere")
        .await
        .expect("set");
    client.batch_execute("DELETE FROM a.progress_event WHERE id = 2").await.expect("deleted");
    assert_eq!(ears.rings().await, ["progress_event.a"]);
    client.batch_execute("TRUNCATE a.progress_event").await.expect("emptied");
    assert_eq!(ears.rings().await, ["progress_event.a"]);
    assert_eq!(count(&client, "SELECT deletions FROM a.progress_log").await, 2);
    assert_eq!(count(&client, "SELECT deletions FROM b.progress_log").await, 0);
    let insert = "INSERT INTO b.progress_event (event_id, class_id, student_id, occurred_at, body) \
         VALUES (gen_random_uuid(), 'default', 's', now(), '{}')";
    client.batch_execute(insert).await.expect("stored");
    assert_eq!(ears.rings().await, ["progress_event.b"]);
    let path: String = client.query_one("SHOW search_path", &[]).await.expect("a path").get(0);
    assert_eq!(path, "elsewhere", "the functions leave it as it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_the_wrong_schema_is_no_success() {
    let database = Database::new().await;
    let role = role("b");
    let url = installation(&database, &role, "b", "b").await;
    let migrated = run(&["migrate", "--database-url", &url], &[]).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let client = database.client().await;
    client
        .batch_execute(
            "INSERT INTO b.progress_event (event_id, class_id, student_id, occurred_at, body) \
             SELECT gen_random_uuid(), 'default', 's', now(), '{}' FROM generate_series(1, 200); \
             UPDATE b.state_through SET through_id = 0, nonce = ''",
        )
        .await
        .expect("events that no leader has seen");
    let check = async || run(&["rebuild-state", "--check", "--database-url", &url], &[]).await;
    let unchecked = check().await;
    assert_eq!(unchecked.code, Some(1), "{}", unchecked.stdout);
    assert!(unchecked.stderr.contains("nothing was compared"), "{}", unchecked.stderr);
    // All classes are said to be complete up to an id before the first event.
    let behind = "UPDATE b.state_through SET through_id = 1, nonce = progress_log.nonce \
         FROM b.progress_log; DELETE FROM b.progress_event WHERE id = 1; \
         UPDATE b.state_through SET through_id = 1, nonce = progress_log.nonce FROM b.progress_log";
    client.batch_execute(behind).await.expect("a state");
    let behind = check().await;
    assert_eq!(behind.code, Some(1), "{}", behind.stdout);
    assert!(behind.stderr.contains("nothing was compared"), "{}", behind.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_whose_names_need_quotes() {
    let database = Database::new().await;
    let client = database.client().await;
    for name in NAMES {
        client.batch_execute(&format!("CREATE SCHEMA {}", quoted(name))).await.expect("a schema");
        let name = &name[..name.len().min(63)];
        // Once for the server, and once for the connection string.
        let path = quoted(name).replace('\\', "\\\\").replace(' ', "\\ ");
        let path = path.replace('\\', "\\\\").replace('\'', "\\'");
        let url = format!("{} options='-csearch_path={path}'", database.url());
        let connector = Connector::parse(&url).expect("a URL");
        migrate::apply(&connector).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let in_schema = connector.connect("test").await.expect("a session");
        let channel: String = in_schema
            .client
            .query_one("SELECT progress_channel()", &[])
            .await
            .expect("a channel")
            .get(0);
        assert!(channel.starts_with("progress_event.") && channel.len() <= 63, "{channel}");
        let mut ears = Ears::on(&database.url(), &[&channel]).await;
        let insert = format!(
            "INSERT INTO {0}.progress_event (event_id, class_id, student_id, occurred_at, body) \
             VALUES (gen_random_uuid(), 'default', 's', now(), '{{}}')",
            quoted(name)
        );
        client.batch_execute(&insert).await.expect("stored");
        assert_eq!(ears.rings().await, [&*channel], "{name}");
        client
            .batch_execute(&format!("DELETE FROM {}.progress_event", quoted(name)))
            .await
            .expect("deleted");
        assert_eq!(ears.rings().await, [&*channel], "{name}");
        let relay = Relay::serve(&["--database-url", &url]).await;
        relay.post(&event(1)).await;
        until("a leader", || async { (relay.terms_as_leader() > 0).then_some(()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_is_not_there_is_named() {
    let database = Database::new().await;
    let migrate = async |url: &str| run(&["migrate", "--database-url", url], &[]).await;
    let missing = migrate(&format!("{} schema=missing", database.url())).await;
    assert_ne!(missing.code, Some(0));
    assert!(missing.stderr.contains(r#"CREATE SCHEMA "missing""#), "{}", missing.stderr);
    let role = role("nowhere");
    let url = installation(&database, &role, "private", "missing").await;
    let refused = migrate(&url).await;
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("CREATE SCHEMA AUTHORIZATION"), "{}", refused.stderr);
    let client = database.client().await;
    client.batch_execute("CREATE SCHEMA closed").await.expect("a schema");
    let closed = migrate(&format!("{url} schema=closed")).await;
    assert_ne!(closed.code, Some(0));
    assert!(closed.stderr.contains("USAGE, CREATE ON SCHEMA"), "{}", closed.stderr);
    let named = migrate(&format!("{url} schema=private")).await;
    assert_eq!(named.code, Some(0), "{}", named.stderr);
    let sql = "SELECT count(*) FROM private.relay_migration";
    assert!(count(&client, sql).await > 0, "the string's schema comes before the path's");
}

/// A schema of another role's comes before the relay's and before PostgreSQL's own on every path,
/// and has functions, operators, types and tables by which a careless function would be caught.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_schema_before_its_own_changes_nothing() {
    let database = Database::new().await;
    let client = database.client().await;
    let role = role("app");
    let url = installation(&database, &role, "app", "evil, pg_catalog, app").await;
    client.batch_execute(HOSTILE).await.expect("a hostile schema");
    let relay = Relay::serve(&["--database-url", &url]).await;
    let mut ears = Ears::on(&database.url(), &["progress_event.app"]).await;
    relay.post(&event(1)).await;
    assert_eq!(ears.rings().await, ["progress_event.app"]);
    // The operator's session has the hostile path too.
    let config: tokio_postgres::Config = url.parse().expect("a URL");
    let (operator, connection) = config.connect(NoTls).await.expect("a session");
    tokio::spawn(connection);
    let insert = "INSERT INTO app.progress_event (event_id, class_id, student_id, occurred_at, \
         body) VALUES (pg_catalog.gen_random_uuid(), 'default', 's', pg_catalog.now(), '{}')";
    operator.batch_execute(insert).await.expect("stored");
    operator.batch_execute("SET synchronous_commit = off").await.expect("set");
    operator.batch_execute(insert).await.expect("stored");
    operator
        .batch_execute("CREATE TEMP TABLE progress_log (pruned_id int)")
        .await
        .expect("a table");
    operator
        .batch_execute("DELETE FROM app.progress_event WHERE id OPERATOR(pg_catalog.=) 2")
        .await
        .expect("deleted");
    operator.batch_execute("SELECT app.progress_event_lock()").await.expect("the lock");
    let epochs = "SELECT app.progress_epoch(), app.progress_home(), app.progress_channel()";
    operator.query_one(epochs, &[]).await.expect("an epoch");
    operator.batch_execute("TRUNCATE app.progress_event").await.expect("emptied");
    assert_eq!(ears.rings().await.len(), 4);
    until("a leader", || async { (relay.terms_as_leader() > 0).then_some(()) }).await;
    relay.post(&event(2)).await;
    saved(&client, "app").await;
    let caught: i64 = count(&client, "SELECT last_value FROM evil.caught").await;
    assert_eq!(caught, 1, "nothing of the schema was called");
    assert_eq!(count(&client, "SELECT count(*) FROM evil.progress_event").await, 0);
}

const HOSTILE: &str = "
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE SEQUENCE evil.caught;
GRANT ALL ON SEQUENCE evil.caught TO PUBLIC;
CREATE TABLE evil.progress_event (LIKE pg_catalog.pg_class);
CREATE TABLE evil.progress_log (nonce text, pruned_id bigint, deletions bigint);
CREATE TABLE evil.inserted (id bigint);
CREATE TABLE evil.deleted (id bigint, class_id text);
GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC;
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (VALUE IS NULL);
CREATE FUNCTION evil.caught(text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN 'evil'; END $$;
CREATE FUNCTION evil.left(pg_catalog.text, int) RETURNS pg_catalog.text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN 'evil'; END $$;
CREATE FUNCTION evil.md5(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN 'evil'; END $$;
CREATE FUNCTION evil.pg_notify(pg_catalog.text, pg_catalog.text) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); END $$;
CREATE FUNCTION evil.pg_backend_pid() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN 1; END $$;
CREATE FUNCTION evil.pg_is_in_recovery() RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN false; END $$;
CREATE FUNCTION evil.current_setting(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN 'evil'; END $$;
CREATE FUNCTION evil.set_config(pg_catalog.text, pg_catalog.text, boolean)
    RETURNS pg_catalog.text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN 'evil'; END $$;
CREATE FUNCTION evil.pg_walfile_name(pg_catalog.pg_lsn) RETURNS pg_catalog.text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN 'evil'; END $$;
CREATE FUNCTION evil.equal(pg_catalog.text, pg_catalog.text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN true; END $$;
CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = pg_catalog.text,
    RIGHTARG = pg_catalog.text);
CREATE FUNCTION evil.equal(name, name) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN true; END $$;
CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = name, RIGHTARG = name);
CREATE FUNCTION evil.equal(oid, oid) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN true; END $$;
CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = oid, RIGHTARG = oid);
CREATE FUNCTION evil.minus(bigint, bigint) RETURNS bigint LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN 1; END $$;
CREATE OPERATOR evil.- (FUNCTION = evil.minus, LEFTARG = bigint, RIGHTARG = bigint);
CREATE FUNCTION evil.concat(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RETURN 'evil'; END $$;
CREATE OPERATOR evil.|| (FUNCTION = evil.concat, LEFTARG = pg_catalog.text,
    RIGHTARG = pg_catalog.text);
SELECT pg_catalog.nextval('evil.caught');
";
