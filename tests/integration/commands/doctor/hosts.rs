//! Hosts, releases, encodings, TLS, poolers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::fixture::{
    Installation, assert_remark, assert_wrong, cluster, doctor, migrate, own_cluster,
};
use crate::support::authority::{Authority, Form};
use crate::support::stage::{Cluster, Netns, PgBouncer, port, url, url_of};
use crate::support::{Rewriter, data_folder};

#[tokio::test]
async fn a_host_that_is_not_reached_is_wrong() {
    let installation = Installation::new().await;
    let nobody = SocketAddr::from(([127, 0, 0, 1], port()));
    let flags = ["--database-url", &installation.url_by(nobody)];
    let what = assert_wrong("host.reached", &[], &flags).await;
    assert!(what.contains(&nobody.port().to_string()), "{what}");
    let missing = installation.url.replace(&installation.name, "absent");
    let what = assert_wrong("host.reached", &[], &["--database-url", &missing]).await;
    assert!(what.contains("3D000"), "{what}");

    // One host of two: the rest is tried on the other.
    let both = installation
        .url
        .replace("host=127.0.0.1", "host=127.0.0.1,127.0.0.1")
        .replace("port=", &format!("port={},", nobody.port()));
    let examined = doctor(&["--database-url", &both]).await;
    assert_eq!(examined.with("wrong"), ["host.reached"]);
    assert!(examined.what("write", "right").contains("stored"));
}

/// A host that accepts and is silent; the whole is bounded.
#[tokio::test]
async fn a_silent_host_is_wrong_in_time() {
    let installation = Installation::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    let began = Instant::now();
    let flags = ["--database-url", &installation.url_by(address)];
    let what = assert_wrong("host.reached", &[], &flags).await;
    assert!(what.contains("no answer"), "{what}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_old_release_is_wrong() {
    let installation = Installation::new().await;
    let server = cluster().await.address();
    let row = installation.client().await.query_one("SHOW server_version_num", &[]).await;
    let number: String = row.expect("a release").get(0);
    let now = format!("server_version\x00{}", &number[..2]);
    let old = Rewriter::before(server, &now, "server_version\x0013").await;
    let flags = ["--database-url", &installation.url_by(old.address)];
    let what = assert_wrong("host.release", &[], &flags).await;
    assert!(what.contains("release 13"), "{what}");
}

#[tokio::test]
async fn another_encoding_is_wrong() {
    let options = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'";
    let installation = Installation::with(options).await;
    let flags = ["--database-url", &installation.url];
    let what = assert_wrong("host.encoding", &[], &flags).await;
    assert!(what.contains("SQL_ASCII"), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_primary_and_two_primaries_are_wrong() {
    let primary = own_cluster("primary").await;
    let standby = primary.standby("standby").await;
    standby.caught_up_with(&primary).await;
    let what = assert_wrong("host.primary", &[], &["--database-url", &standby.url()]).await;
    assert!(what.contains("none of the 1"), "{what}");
    let both = url(&[&standby, &primary]);
    let examined = doctor(&["--database-url", &both]).await;
    assert_eq!(examined.with("wrong"), [""; 0], "a standby beside its primary is right");
    assert!(examined.what("host.reached", "right").contains("a standby"));

    standby.promote().await;
    let what = assert_wrong("host.primary", &[], &["--database-url", &both]).await;
    assert!(what.contains("2 hosts are primaries"), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_in_clear_to_another_machine_is_wrong() {
    let Some(far) = Netns::new() else { return };
    let primary = Cluster::primary_on("far", far).await;
    primary.set("fsync", "on").await;
    migrate(&primary.url()).await;
    assert_remark("tls", &["--database-url", &primary.url()]).await;
    let url = format!("{} password=hunter2", primary.url());
    let what = assert_wrong("tls", &[], &["--database-url", &url]).await;
    assert!(what.contains("in clear") && !what.contains("hunter2"), "{what}");
}

/// Who has verified the server's certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_verifies_is_a_remark() {
    // Within one machine it does not matter.
    let Some(far) = Netns::new() else { return };
    let extensions = format!("subjectAltName=IP:{}", far.inside);
    let primary = Cluster::primary_on("far", far).await;
    primary.set("fsync", "on").await;
    migrate(&primary.url()).await;
    let folder = data_folder();
    std::fs::create_dir(&folder).expect("a folder");
    let (root, other) = (Authority::root(&folder, "root"), Authority::root(&folder, "other"));
    let form = Form { subject: "/CN=database", extensions: &extensions, days: None };
    let issued = root.issue("server", &form);
    for (from, name) in [(&issued.certificate, "server.crt"), (&issued.key, "server.key")] {
        let file = primary.folder().join(name);
        std::fs::copy(from, &file).expect("a copy");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).expect("permissions");
        primary.hand_over(&file);
        let setting = if name.ends_with("crt") { "ssl_cert_file" } else { "ssl_key_file" };
        primary.set(setting, file.to_str().expect("UTF-8")).await;
    }
    primary.set("ssl", "on").await;
    let url = |mode: &str, roots: &Authority| {
        let file = roots.certificate();
        format!("{} sslmode={mode} sslrootcert={}", primary.url(), file.display())
    };
    let any = format!("{} sslmode=require", primary.url());
    let what = assert_remark("tls", &["--database-url", &any]).await;
    assert!(what.contains("TLSv1.3") && what.contains("any certificate"), "{what}");
    let what = assert_remark("tls", &["--database-url", &url("verify-ca", &root)]).await;
    assert!(what.contains("whichever host"), "{what}");
    let examined = doctor(&["--database-url", &url("verify-full", &root)]).await;
    assert_eq!(examined.with("wrong"), [""; 0]);
    assert!(examined.what("tls", "right").contains("root.crt"));
    let flags = ["--database-url", &*url("verify-full", &other)];
    let what = assert_wrong("host.reached", &[], &flags).await;
    assert!(what.contains("certificate"), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_is_wrong_for_the_direct_url() {
    let primary = own_cluster("primary").await;
    let pooler = PgBouncer::before(primary.address(), &[("pool_mode", "transaction")]).await;
    let pooled = url_of(&[pooler.address]);
    let what = assert_wrong("pooler", &[], &["--database-url", &pooled]).await;
    assert!(what.contains("pooler"), "{what}");
    let direct = primary.url();
    let both = ["--database-url", &pooled, "--listen-url", &direct];
    let examined = doctor(&both).await;
    assert_eq!(examined.with("wrong"), [""; 0], "it is right for the other URL");
    assert!(examined.what("url.same", "right").contains("the same log"));

    // Nothing was left behind on the pooled connections.
    let client = primary.session("progress").await;
    let left = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) \
         WHERE locktype = 'advisory' OR wait_event = 'idle in transaction'";
    assert_eq!(client.query_one(left, &[]).await.expect("an answer").get::<_, i64>(0), 0);

    let session = PgBouncer::before(primary.address(), &[]).await;
    let what = assert_remark("pooler", &["--database-url", &url_of(&[session.address])]).await;
    assert!(what.contains("session mode"), "{what}");
}

#[tokio::test]
async fn two_urls_of_two_databases_are_wrong() {
    let (one, other) = (Installation::new().await, Installation::new().await);
    let flags = ["--database-url", &one.url, "--listen-url", &other.url];
    let what = assert_wrong("url.same", &[], &flags).await;
    assert!(what.contains("another log"), "{what}");
}
