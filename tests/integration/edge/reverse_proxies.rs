//! nginx, HAProxy and Caddy by the files of deploy/: requests, sockets and streams pass, what the
//! proxy says is believed, and what a client says in its place is not.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::edge::problem;
use crate::support::reverse_proxy::{NAME, ReverseProxy};
use crate::support::stage::HaProxy;
use crate::support::{Database, Relay, event_of, handshake_at, https, read_frame, until, within};

const ORIGIN: &str = "https://relay.school.example";
/// Headers of a client that would like to be someone else.
const SPOOFED: [(&str, &str); 8] = [
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-host", "localhost"),
    ("forwarded", "for=192.0.2.1;proto=http;host=localhost"),
    ("x-auth-request-user", "olga"),
    ("x-auth-request-groups", "staff"),
    ("x_auth_request_user", "olga"),
    ("x_auth_request_groups", "staff"),
];

async fn relay_behind(database: &Database, more: &[&str]) -> Relay {
    let flags = ["--trusted-proxy", "127.0.0.1", "--allow-origin", ORIGIN];
    Relay::start(database, &[&flags, more].concat()).await
}

/// The flags of a relay whose users are the proxy's.
const USERS: [&str; 10] = [
    "--user-header",
    "X-Auth-Request-User",
    "--groups-header",
    "X-Auth-Request-Groups",
    "--instructors",
    "instructors-{class}",
    "--students",
    "{class}",
    "--operators",
    "staff",
];

/// Requests, a socket and a stream through a proxy that speaks TLS.
async fn serves_by(proxy: &ReverseProxy) {
    let page = proxy.send("GET", "/", &[], "").await;
    assert_eq!(page.status(), 200);
    assert!(page.headers().contains_key("strict-transport-security"), "the scheme is known");
    let body = json!([event_of("c", 1)]).to_string();
    let posted = proxy.send("POST", "/student-progress", &SPOOFED, &body).await;
    assert_eq!(posted.status(), 200, "{:?}", posted.body());
    let own = [("origin", ORIGIN)];
    assert_eq!(proxy.send("GET", "/api/classes", &own, "").await.status(), 200);
    // The scheme is the proxy's word, and not the client's.
    let clear = [&[("origin", "http://relay.school.example")][..], &SPOOFED].concat();
    let refused = proxy.send("GET", "/api/classes", &clear, "").await;
    assert_eq!((refused.status().as_u16(), &*problem(&refused)), (403, "origin-not-allowed"));

    let mut socket = proxy.connect().await;
    let headers = format!("Origin: {ORIGIN}\r\n");
    handshake_at(&mut socket, NAME, "?class=c", &headers).await;
    assert_eq!(read_frame(&mut socket).await.expect("a frame").0, 0x81);
    let mut stream = proxy.connect().await;
    let request = format!("GET /api/class/stream?class=c HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    read_until(&mut stream, "\"live\"").await;
    let body = json!([event_of("c", 2)]).to_string();
    assert_eq!(proxy.send("POST", "/student-progress", &[], &body).await.status(), 200);
    let (_, frame) = read_frame(&mut socket).await.expect("a frame");
    assert!(String::from_utf8_lossy(&frame).contains("\"progress\""));
    read_until(&mut stream, "\"progress\"").await;
}

async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), wanted: &str) {
    let mut read = Vec::new();
    within(wanted, async {
        while !String::from_utf8_lossy(&read).contains(wanted) {
            read.push(stream.read_u8().await.expect("a byte"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_as_shipped() {
    let database = Database::migrated().await;
    let relay = relay_behind(&database, &[]).await;
    let proxy = ReverseProxy::nginx("nginx.conf", &relay.url.authority(), &[]).await;
    serves_by(&proxy).await;
    let clear = tokio::net::TcpStream::connect(proxy.clear).await.expect("a connection");
    let moved = https::send(clear, "GET", "/x?a=b", &[("host", NAME)], "").await;
    assert_eq!(moved.status(), 308);
    assert_eq!(moved.headers()["location"], format!("{ORIGIN}/x?a=b"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy_as_shipped() {
    let database = Database::migrated().await;
    let relay = relay_behind(&database, &[]).await;
    serves_by(&ReverseProxy::caddy(&relay.url.authority()).await).await;
}

/// A service as oauth2-proxy is to `auth_request`: a cookie says who it is.
async fn sign_in_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let users =
                    [("sam", "algebra"), ("tina", "instructors-algebra"), ("olga", "staff")];
                let user = users
                    .into_iter()
                    .find(|(name, _)| head.contains(&format!("cookie: signed_in={name}\r\n")));
                let answer = match user {
                    Some((name, groups)) => format!(
                        "HTTP/1.1 202 Accepted\r\nX-Auth-Request-User: {name}\r\n\
                         X-Auth-Request-Groups: {groups}\r\n"
                    ),
                    None => "HTTP/1.1 401 Unauthorized\r\n".to_owned(),
                };
                let answer = format!("{answer}Content-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

/// nginx asks who it is; the client's own words about it are replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_with_a_sign_in() {
    let database = Database::migrated().await;
    let relay = relay_behind(&database, &USERS).await;
    let service = sign_in_service().await;
    let changes = [("127.0.0.1:4180", &*service)];
    let file = "nginx-sign-in.conf";
    let proxy = ReverseProxy::nginx(file, &relay.url.authority(), &changes).await;
    let get = async |path: &str, headers: &[(&str, &str)]| {
        proxy.send("GET", path, headers, "").await.status().as_u16()
    };
    const PATH: &str = "/api/class/summary?class=algebra";
    assert_eq!(get("/readyz", &[]).await, 200);
    assert_eq!(get(PATH, &[]).await, 401);
    assert_eq!(get(PATH, &SPOOFED).await, 401);
    let moved = proxy.send("GET", "/", &[], "").await;
    assert_eq!(moved.status(), 302);
    assert!(moved.headers()["location"].to_str().expect("text").contains("/oauth2/start?rd=/"));
    let cookie = |user: &str| format!("signed_in={user}");
    for (user, path, status) in [
        ("olga", "/metrics", 200),
        ("tina", PATH, 200),
        ("tina", "/metrics", 403),
        ("tina", "/api/class/summary?class=physics", 403),
        ("sam", "/api/class/cells?class=algebra", 403),
        ("sam", "/metrics", 403),
        ("tina", "/", 200),
    ] {
        let cookie = cookie(user);
        let spoofed = [&[("cookie", &*cookie)][..], &SPOOFED].concat();
        assert_eq!(get(path, &spoofed).await, status, "{user} {path}");
        let bearer = [("cookie", &*cookie), ("authorization", "Bearer of-another-service")];
        assert_eq!(get(path, &bearer).await, status, "{user} {path}");
    }
    let sam = cookie("sam");
    let headers = [("cookie", &*sam), ("origin", ORIGIN)];
    let body = json!([event_of("algebra", 1)]).to_string();
    let posted = proxy.send("POST", "/student-progress", &headers, &body).await;
    assert_eq!(posted.status(), 200, "{:?}", posted.body());
    let olga = cookie("olga");
    let seen =
        proxy.send("GET", "/api/class/events?class=algebra", &[("cookie", &*olga)], "").await;
    let seen: Value = serde_json::from_slice(seen.body()).expect("JSON");
    assert_eq!(seen["events"][0]["studentId"], "sam");
    let foreign = [("cookie", &*sam), ("origin", "https://evil.example")];
    let refused = proxy.send("POST", "/student-progress", &foreign, &body).await;
    assert_eq!((refused.status().as_u16(), &*problem(&refused)), (403, "origin-not-allowed"));
    let mut socket = proxy.connect().await;
    let cookie = format!("Cookie: {}\r\nOrigin: {ORIGIN}\r\n", cookie("tina"));
    handshake_at(&mut socket, NAME, "?class=algebra", &cookie).await;
    let (first, frame) = read_frame(&mut socket).await.expect("a frame");
    assert_eq!(first, 0x81, "{}", String::from_utf8_lossy(&frame));
}

/// HAProxy as shipped names no user, and no client can in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_lets_nobody_name_itself() {
    let database = Database::migrated().await;
    let relay = relay_behind(&database, &USERS).await;
    let address = relay.url.authority().parse().expect("an address");
    let proxy = HaProxy::before(&[address]).await;
    until("HAProxy to know the relay", || async {
        let mut connection =
            progress_relay::client::http::Connection::open(&proxy.url).await.ok()?;
        let answer = connection.get("/healthz").await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    let mut connection =
        progress_relay::client::http::Connection::open(&proxy.url).await.expect("a connection");
    let path = "/api/class/summary?class=algebra";
    let answer = connection.request("GET", path, &SPOOFED, Bytes::new()).await.expect("an answer");
    assert_eq!(answer.status, 401);
    let problem: Value = answer.json().expect("a problem");
    assert_eq!(problem["type"], "urn:progress-relay:problem:unauthorized");
}
