//! A path that is written in another way reaches no route without that route's right: directly,
//! below a base path, and through nginx and HAProxy, which rewrite some of them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::GUARDED;
use crate::support::reverse_proxy::ReverseProxy;
use crate::support::stage::HaProxy;
use crate::support::{Database, Issuer, Relay, until, within};

/// Other ways to write a path.
fn variants(path: &str) -> Vec<String> {
    let (first, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let join = |between: &str| format!("/{first}{between}{rest}");
    let encoded: String = path[1..].bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![
        format!("/{path}"),
        format!("/.{path}"),
        format!("/x/..{path}"),
        format!("/assets/..{path}"),
        format!("/assets/%2e%2e{path}"),
        format!("/assets/..%2f{}", &path[1..]),
        format!("/healthz/..{path}"),
        format!("/healthz;{path}"),
        format!("/healthz/..;{path}"),
        format!("/openapi.json{path}"),
        format!("/%2e{path}"),
        format!("/%2f{path}"),
        format!("{path};x=y"),
        format!("{path}/."),
        format!("{path}/%2e%2e/x"),
        format!("{path}%20"),
        format!("{path}%00"),
        format!("{path}%0d%0aX:y"),
        format!("{path}//"),
        format!("{path}.json"),
        format!("\\{path}"),
        path.to_uppercase(),
        join("//"),
        join("/./"),
        join("%2f"),
        join("\\"),
        join(";/"),
        format!("/{encoded}"),
        format!("http://localhost{path}"),
        format!("http://evil.example{path}"),
    ]
}

/// The status of a request that is written as it stands, without any credential. `None` if the
/// connection is closed without an answer.
async fn status(address: &str, method: &str, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 12];
    within(path, stream.read_exact(&mut answer)).await.ok()?;
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.trim().parse().ok()
}

/// Tries every variant of every guarded route below `base`.
async fn nothing_opens(address: &str, base: &str) {
    for (method, path) in GUARDED {
        for variant in variants(path) {
            let variants = match base {
                "" => vec![variant],
                base => {
                    vec![format!("{base}{variant}"), format!("{base}/..{base}{variant}"), variant]
                }
            };
            for variant in variants {
                let Some(status) = status(address, method, &variant).await else { continue };
                assert!(status >= 300, "{method} {variant}: {status}");
            }
        }
        let plain = status(address, method, &format!("{base}{path}")).await;
        assert!(matches!(plain, Some(401 | 403 | 426)), "{method} {path}: {plain:?}");
    }
}

async fn relay(database: &Database, issuer: &Issuer, flags: &[&str]) -> Relay {
    issuer.relay(database, flags).await
}

#[tokio::test]
async fn no_other_spelling_opens_a_route() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let plain = relay(&database, &issuer, &[]).await;
    nothing_opens(&plain.url.authority(), "").await;
    let below = relay(&database, &issuer, &["--base-path", "/services/relay/"]).await;
    nothing_opens(&below.url.authority(), "/services/relay").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_one_that_a_proxy_has_rewritten() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let origin = "https://relay.school.example";
    let flags = ["--trusted-proxy", "127.0.0.1", "--allow-origin", origin];
    let relay = relay(&database, &issuer, &flags).await;
    let authority = relay.url.authority();

    let nginx = ReverseProxy::nginx("nginx.conf", &authority, &[]).await;
    for (method, path) in GUARDED {
        for variant in variants(path) {
            // Other characters no client can send in a URI.
            if !variant.starts_with('/') || variant.contains('\\') {
                continue;
            }
            let status = nginx.send(method, &variant, &[], "[]").await.status().as_u16();
            assert!(status >= 300, "nginx: {method} {variant}: {status}");
        }
    }
    let haproxy = HaProxy::before(&[authority.parse().expect("an address")]).await;
    let address = haproxy.url.authority();
    until("HAProxy to know the relay", async || {
        (status(&address, "GET", "/healthz").await == Some(200)).then_some(())
    })
    .await;
    nothing_opens(&address, "").await;
}
