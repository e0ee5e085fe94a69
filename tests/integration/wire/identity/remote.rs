//! Keys at a URL: rotation, and services that are slow, lost or hostile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::join_all;
use nix::sys::signal::Signal;
use progress_relay::client::http::Response;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::authority::{Authority, Form, Issued, text};
use crate::support::tokens::{Keys, SigningKey, claims};
use crate::support::{Database, Relay, until};

/// How the service of keys answers.
#[derive(Debug, Clone)]
enum Behaviour {
    Keys(String),
    /// Accepts, and never answers.
    Hang,
    /// An answer without an end.
    Endless,
    Redirect,
    Broken,
    /// Closes the connection.
    Gone,
}

/// A service of keys.
struct Service {
    url: String,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Service {
    async fn start(behaviour: Behaviour) -> Self {
        Self::start_by(behaviour, None).await
    }

    /// With a certificate, the service speaks TLS.
    async fn start_by(behaviour: Behaviour, certificate: Option<&Issued>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let tls = certificate.map(acceptor);
        let url = match tls {
            Some(_) => format!("https://localhost:{port}/jwks"),
            None => format!("http://127.0.0.1:{port}/jwks?q=1"),
        };
        let behaviour = Arc::new(Mutex::new(behaviour));
        let (requests, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let service = Self {
            url,
            behaviour: Arc::clone(&behaviour),
            requests: Arc::clone(&requests),
            sent: Arc::clone(&sent),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (behaviour, requests) = (Arc::clone(&behaviour), Arc::clone(&requests));
                let (tls, sent) = (tls.clone(), Arc::clone(&sent));
                tokio::spawn(async move {
                    match tls {
                        None => answer(stream, behaviour, requests, sent).await,
                        Some(tls) => {
                            let stream = tls.accept(stream).await.ok()?;
                            answer(stream, behaviour, requests, sent).await
                        }
                    }
                });
            }
        });
        service
    }

    fn becomes(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("a lock") = behaviour;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn acceptor(issued: &Issued) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(&issued.certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&issued.key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    TlsAcceptor::from(Arc::new(config))
}

/// Answers one request, and closes.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    requests.fetch_add(1, Ordering::Relaxed);
    let behaviour = behaviour.lock().expect("a lock").clone();
    let full = |status: &str, more: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n{body}",
            body.len()
        )
    };
    let text = match behaviour {
        Behaviour::Keys(keys) => full("200 OK", "", &keys),
        Behaviour::Redirect => full("302 Found", "Location: http://127.0.0.1:1/\r\n", ""),
        Behaviour::Broken => full("500 Internal Server Error", "", "no"),
        Behaviour::Gone => return None,
        Behaviour::Hang => return std::future::pending().await,
        Behaviour::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"keys\":[").await.ok()?;
            let block = vec![b' '; 64 * 1024];
            loop {
                stream.write_all(&block).await.ok()?;
                sent.fetch_add(block.len(), Ordering::Relaxed);
            }
        }
    };
    stream.write_all(text.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

fn set(keys: &[&SigningKey]) -> Behaviour {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    Behaviour::Keys(json!({"keys": keys}).to_string())
}

async fn start(database: &Database, service: &Service) -> Relay {
    Relay::start(database, &["--jwt-keys", &service.url]).await
}

async fn ask(relay: &Relay, token: &str) -> Response {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    let mut connection = relay.connection().await;
    connection.request("GET", "/api/classes", &headers, Bytes::new()).await.expect("an answer")
}

async fn status(relay: &Relay, token: &str) -> u16 {
    ask(relay, token).await.status.as_u16()
}

/// A key that is new makes the relay ask once, however many requests bring it, and then not again
/// for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_asked_for_once() {
    const AT_ONCE: usize = 20;
    let database = Database::new().await;
    let keys = Keys::new();
    let (first, second, stranger) =
        (keys.key("first", "EC"), keys.key("second", "ED25519"), keys.key("stranger", "EC"));
    let service = Service::start(set(&[&first])).await;
    let relay = start(&database, &service).await;
    let claims = claims("operator", "o", &[]);
    let (old, new, wrong) = (first.token(&claims), second.token(&claims), stranger.token(&claims));
    until("the keys", async || (status(&relay, &old).await == 200).then_some(())).await;
    assert_eq!(service.requests(), 1);
    service.becomes(set(&[&first, &second]));
    let answers = join_all((0..AT_ONCE).map(|_| status(&relay, &new))).await;
    assert_eq!(answers, [200; AT_ONCE]);
    assert_eq!(service.requests(), 2);
    let answers = join_all((0..AT_ONCE).map(|_| status(&relay, &wrong))).await;
    assert_eq!(answers, [401; AT_ONCE]);
    assert_eq!(service.requests(), 2);
    assert_eq!(status(&relay, &old).await, 200);

    // A key that is withdrawn is no longer good, once the relay has looked again.
    service.becomes(set(&[&second]));
    relay.signal(Signal::SIGHUP);
    until("the old key to go", async || (status(&relay, &old).await == 401).then_some(())).await;
    assert_eq!(status(&relay, &new).await, 200);
}

/// Before the first good set no token is good, and no token is bad: the answer is 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_nobody_comes_in() {
    let database = Database::new().await;
    let keys = Keys::new();
    let key = keys.key("key", "RSA");
    let service = Service::start(Behaviour::Hang).await;
    let relay = start(&database, &service).await;
    let token = key.token(&claims("operator", "o", &[]));
    until("a request", async || (service.requests() > 0).then_some(())).await;
    let answer = ask(&relay, &token).await;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 503, "{body}");
    assert!(body.contains("sign-in-unavailable") && answer.header("retry-after").is_some());
    assert_eq!(status(&relay, "garbage").await, 401);
    service.becomes(set(&[&key]));
    until("the keys", async || (status(&relay, &token).await == 200).then_some(())).await;
}

/// Whatever becomes of the service, the last good set stays, and the log says why once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_good_set_is_kept() {
    const MOST: usize = 64 << 20;
    let database = Database::new().await;
    let keys = Keys::new();
    let (key, stranger) = (keys.key("key", "EC"), keys.key("stranger", "EC"));
    let service = Service::start(set(&[&key])).await;
    let relay = start(&database, &service).await;
    let claims = claims("operator", "o", &[]);
    let (good, wrong) = (key.token(&claims), stranger.token(&claims));
    until("the keys", async || (status(&relay, &good).await == 200).then_some(())).await;
    let before = relay.resident();
    for (behaviour, cause) in [
        (Behaviour::Redirect, "no redirect is followed"),
        (Behaviour::Broken, "500 Internal Server Error"),
        (Behaviour::Keys("{\"keys\":[]}".to_owned()), "it has no key"),
        (Behaviour::Keys("<html>".to_owned()), "it is no JWKS"),
        (Behaviour::Endless, "longer than 1048576 bytes"),
        (Behaviour::Hang, "no answer within 5s"),
        (Behaviour::Gone, "connection closed"),
    ] {
        service.becomes(behaviour.clone());
        relay.signal(Signal::SIGHUP);
        until(cause, async || relay.log().contains(cause).then_some(())).await;
        assert_eq!(status(&relay, &good).await, 200, "{behaviour:?}");
    }
    assert!(service.sent.load(Ordering::Relaxed) < MOST, "the rest of the answer was not read");
    assert!(relay.resident() < before + MOST, "{} and before {before}", relay.resident());
    // The key may be a new one, and cannot be looked for.
    assert_eq!(status(&relay, &wrong).await, 503);
    assert!(!relay.log().contains("q=1"), "the URL is in the log: {}", relay.log());
    service.becomes(set(&[&key]));
    relay.signal(Signal::SIGHUP);
    until("the log", async || relay.log().contains("can be read again").then_some(())).await;
    assert_eq!(status(&relay, &wrong).await, 401);
}

/// Over https the service must be who it says; an authority of the school's own can be added.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_over_https() {
    let database = Database::new().await;
    let keys = Keys::new();
    let folder = keys.path("authority");
    std::fs::create_dir(&folder).expect("a folder");
    let authority = Authority::root(&folder, "root");
    let form = |extensions| Form { subject: "/CN=keys", extensions, days: None };
    let named = authority.issue("named", &form("subjectAltName=DNS:localhost"));
    let misnamed = authority.issue("misnamed", &form("subjectAltName=DNS:elsewhere"));
    let key = keys.key("key", "EC");
    let token = key.token(&claims("operator", "o", &[]));
    let root = authority.certificate();
    let by_school = ["--jwt-keys-ca", text(&root)];
    for (certificate, flags, cause) in [
        (&named, &by_school[..], None),
        (&named, &[], Some("UnknownIssuer")),
        (&misnamed, &by_school[..], Some("not valid for name")),
    ] {
        let service = Service::start_by(set(&[&key]), Some(certificate)).await;
        let flags = [&["--jwt-keys", &service.url], flags].concat();
        let relay = Relay::start(&database, &flags).await;
        match cause {
            None => {
                until("the keys", async || (status(&relay, &token).await == 200).then_some(()))
                    .await;
            }
            Some(cause) => {
                until(cause, async || relay.log().contains(cause).then_some(())).await;
                assert_eq!(status(&relay, &token).await, 503);
                assert_eq!(service.requests(), 0);
            }
        }
    }
}
