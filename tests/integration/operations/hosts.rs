//! The hosts of a database URL: those that cannot serve are passed over, within a bound, and the
//! error names each of them and its reason.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::faults_database::RECOVERY;
use crate::support::checker::Promise;
use crate::support::stage::{Cluster, PgProxy, Play, Route, Scale, port, url, url_of};
use crate::support::{Finished, Relay, event, run};

/// A host name that no resolver knows (RFC 6761).
const UNKNOWN: &str = "no-such-host.invalid";
/// The time until the first POST is stored when the first host cannot serve: the next host is tried
/// after a second, for the migrations and then for every part.
const PASSED_OVER: Duration = Duration::from_secs(10);

/// A server that speaks HTTP, as when a port was mistyped.
async fn http_server() -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            if client.read(&mut request).await.is_ok() {
                let _ = client.write_all(answer).await;
            }
        }
    });
    (address, AbortOnDropHandle::new(serving))
}

/// A host that accepts connections and is silent.
async fn silent_host() -> PgProxy {
    let silent = PgProxy::to((Ipv4Addr::LOCALHOST, 1).into()).await;
    silent.lead("", Route::Silent);
    silent
}

fn refusing_host() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port()).into()
}

/// The URL of `addresses` with an unknown host before them.
fn after_unknown(addresses: &[SocketAddr]) -> String {
    // A name in the place of the first address.
    let first = SocketAddr::from((Ipv4Addr::BROADCAST, 5432));
    url_of(&[&[first], addresses].concat()).replacen(&first.ip().to_string(), UNKNOWN, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_host_that_cannot_serve_is_passed_over() {
    let primary = Cluster::primary("primary").await;
    let standby = primary.standby("standby").await;
    let (silent, (http, _serving)) = (silent_host().await, http_server().await);
    let serves = primary.address();
    for (first, url) in [
        ("silent", url_of(&[silent.address(), serves])),
        ("unknown", after_unknown(&[serves])),
        ("refusing", url_of(&[refusing_host(), serves])),
        ("a standby", url(&[&standby, &primary])),
        ("not PostgreSQL", url_of(&[http, serves])),
        (
            "all of them",
            after_unknown(&[silent.address(), refusing_host(), standby.address(), http, serves]),
        ),
    ] {
        let begin = Instant::now();
        let relay = Relay::serve(&["--database-url", &url]).await;
        relay.post(&event(1)).await;
        let took = begin.elapsed();
        println!("the first host is {first}: stored after {took:?}");
        assert!(took < PASSED_OVER, "the first host is {first}: it took {took:?}");
    }
}

async fn serve_on(url: &str, patience: &str) -> (Finished, Duration) {
    let begin = Instant::now();
    let flags = ["serve", "--bind", "127.0.0.1:0", "--start-patience", patience];
    let ended = run(&[&flags[..], &["--database-url", url]].concat(), &[]).await;
    (ended, begin.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_names_each_host_and_its_reason() {
    let primary = Cluster::primary("primary").await;
    let standby = primary.standby("standby").await;
    let (silent, (http, _serving)) = (silent_host().await, http_server().await);
    let refusing = refusing_host();
    let url = after_unknown(&[silent.address(), refusing, standby.address(), http]);
    let (ended, took) = serve_on(&url, "1s").await;
    println!("after {took:?}: {}", ended.stderr);
    assert_eq!(ended.code, Some(1));
    assert!(took < PASSED_OVER, "it took {took:?}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    for (host, reason) in [
        (format!("{UNKNOWN} port 5432"), "unknown"),
        (named(silent.address()), "no answer within"),
        (named(refusing), "refused"),
        (named(standby.address()), "standby"),
        (named(http), "not PostgreSQL"),
    ] {
        let after = last.rsplit_once(&host).map(|(_, after)| after);
        let said = after.and_then(|after| after.split(';').next()).unwrap_or_default();
        assert!(said.contains(reason), "{host}: {said:?} in {last}");
    }
}

/// A host as messages name it.
fn named(address: SocketAddr) -> String {
    format!("{} port {}", address.ip(), address.port())
}

/// What does not change by itself is not waited for.
#[tokio::test]
async fn hosts_that_will_never_serve_end_the_start_at_once() {
    let (http, _serving) = http_server().await;
    for url in [after_unknown(&[]), url_of(&[http]), after_unknown(&[http])] {
        let (ended, took) = serve_on(&url, "forever").await;
        println!("after {took:?}: {}", ended.stderr);
        assert_eq!(ended.code, Some(1), "{url}: {}", ended.stderr);
        assert!(took < Duration::from_secs(10), "{url}: it took {took:?}");
    }
}

/// The first host refuses connections. When the primary dies the host comes back, accepts and is
/// silent, as a machine that is starting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_becomes_silent_does_not_delay_a_failover() {
    let mut primary = Cluster::primary("primary").await;
    let standby = primary.standby("standby").await;
    primary.set("synchronous_standby_names", "standby").await;
    primary.has_synchronous_standbys(1).await;
    let first = PgProxy::to(primary.address()).await;
    first.lead("", Route::Closed);
    let url = url_of(&[first.address(), primary.address(), standby.address()]);
    let play =
        Play::begin("silent host in mid-failover", Scale::SMALL, Promise::Durable, &url).await;
    play.cause("kill -9 of the primary, and another host becomes silent");
    first.lead("", Route::Silent);
    primary.kill();
    play.fail_over(&standby).await.assert_good(RECOVERY);
}
