//! PgBouncer in each mode, for each URL: what works through it, and how the rest is refused.

use tokio_util::task::AbortOnDropHandle;

use crate::support::stage::{Cluster, DATABASE, PgBouncer, url, url_of};
use crate::support::{Finished, Follower, Relay, event, run, until};

/// The locks that sessions hold, and the settings on a connection of the pooler that differ from
/// the server's.
async fn left_behind(primary: &Cluster, pooler: &PgBouncer) -> Vec<String> {
    const LOCKS: &str = "\
        SELECT 'a lock of pid ' || pid FROM pg_locks WHERE locktype = 'advisory'";
    // PgBouncer itself sets the other two as each client has them.
    const SETTINGS: &str = "\
        SELECT name || ' = ' || setting FROM pg_settings \
        WHERE source = 'session' AND name NOT IN ('client_encoding', 'application_name')";
    let mut left = Vec::new();
    for row in primary.session("postgres").await.query(LOCKS, &[]).await.expect("the locks") {
        left.push(row.get(0));
    }
    let mut config = tokio_postgres::Config::new();
    config.host(pooler.address.ip().to_string()).port(pooler.address.port());
    let (client, connection) = config
        .user("postgres")
        .dbname(DATABASE)
        .connect(tokio_postgres::NoTls)
        .await
        .expect("the pooler");
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    for message in client.simple_query(SETTINGS).await.expect("the settings") {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            left.push(row.get(0).expect("text").to_owned());
        }
    }
    left
}

fn assert_refused(ended: &Finished) {
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("pooler in transaction or statement mode"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--listen-url"), "{}", ended.stderr);
}

async fn serve(urls: &[&str]) -> Finished {
    run(&[&["serve", "--bind", "127.0.0.1:0"], urls].concat(), &[]).await
}

/// A relay that stores an event and delivers it.
async fn assert_works(urls: &[&str]) {
    let relay = Relay::serve(urls).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
    assert_eq!(follower.take(1).await.len(), 1);
}

/// Every command that keeps something in its session is refused before it leaves anything behind,
/// however many connections the pooler has, and in statement mode too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_is_refused_before_anything_is_left_behind() {
    let primary = Cluster::primary("primary").await;
    for (mode, size) in [("transaction", "20"), ("transaction", "1"), ("statement", "20")] {
        let changes = [("pool_mode", mode), ("default_pool_size", size)];
        let pooler = PgBouncer::before(primary.address(), &changes).await;
        let pooled = url_of(&[pooler.address]);
        let urls = ["--database-url", &*pooled];
        assert_refused(&serve(&urls).await);
        for command in ["migrate", "rebuild-state"] {
            assert_refused(&run(&[&[command], &urls[..]].concat(), &[]).await);
        }
        let direct = url(&[&primary]);
        assert_refused(&serve(&["--database-url", &direct, "--listen-url", &pooled]).await);
        assert_eq!(left_behind(&primary, &pooler).await, Vec::<String>::new(), "{mode}, {size}");
    }
    let tables = "SELECT FROM pg_class WHERE relname = 'relay_migration'";
    let session = primary.session(DATABASE).await;
    assert!(session.query(tables, &[]).await.expect("an answer").is_empty(), "nothing was created");
}

/// Other applications use the pooler meanwhile, so that a connection that was just given back may
/// be taken by any of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_pooler_in_transaction_mode_is_refused_too() {
    let primary = Cluster::primary("primary").await;
    let changes = [("pool_mode", "transaction"), ("default_pool_size", "6")];
    let pooler = PgBouncer::before(primary.address(), &changes).await;
    let mut others = Vec::new();
    for _ in 0..8 {
        let mut config = tokio_postgres::Config::new();
        config.host(pooler.address.ip().to_string()).port(pooler.address.port());
        config.user("postgres").dbname(DATABASE);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("the pooler");
        others.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let work = async {
                loop {
                    client.batch_execute("SELECT pg_sleep(0.002)").await.expect("an answer");
                }
            };
            tokio::select! { () = work => {}, _ = connection => {} }
        })));
    }
    let pooled = url_of(&[pooler.address]);
    for _ in 0..5 {
        assert_refused(&run(&["migrate", "--database-url", &pooled], &[]).await);
    }
}

/// The relay goes past the pooler of --database-url. In session mode it may go through one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_works_through_a_pooler() {
    let primary = Cluster::primary("primary").await;
    let direct = url(&[&primary]);
    let transactions = PgBouncer::before(primary.address(), &[("pool_mode", "transaction")]).await;
    let pooled = url_of(&[transactions.address]);
    assert_works(&["--database-url", &pooled, "--listen-url", &direct]).await;
    let sessions = PgBouncer::before(primary.address(), &[]).await;
    let pooled = url_of(&[sessions.address]);
    assert_works(&["--database-url", &pooled]).await;
    assert_works(&["--database-url", &direct, "--listen-url", &pooled]).await;
    assert_eq!(left_behind(&primary, &sessions).await, Vec::<String>::new());
}

/// A pooler in session mode that has fewer connections to the server than a relay takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_with_too_few_connections_is_named() {
    let primary = Cluster::primary("primary").await;
    let pooler = PgBouncer::before(primary.address(), &[("default_pool_size", "3")]).await;
    let relay = Relay::begin(&["--database-url", &url_of(&[pooler.address])]).await;
    // Which parts of the relay get a connection is left to chance.
    until("a word about the pooler", async || {
        let said = relay.log();
        (said.contains("a pooler that has no connection") && said.contains("takes 7")).then_some(())
    })
    .await;
}
