//! What a trusted proxy says of its clients is believed, and of anyone else nothing is.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::edge::{connect_from, problem, send_from};
use crate::support::{Database, Relay, event, event_of, handshake_at, read_frame, until};

/// The proxy's address, and another of loopback.
const PROXY: &str = "127.0.0.1";
const ELSEWHERE: &str = "127.0.0.9";

const POST: (&str, &str) = ("POST", "/student-progress");

const USERS: [&str; 12] = [
    "--trusted-proxy",
    PROXY,
    "--user-header",
    "X-Forwarded-User",
    "--groups-header",
    "X-Forwarded-Groups",
    "--instructors",
    "instructors-{class}",
    "--students",
    "{class}",
    "--operators",
    "staff",
];

async fn get(relay: &Relay, from: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    send_from(relay, from, ("GET", path), headers, "").await.status().as_u16()
}

/// A subscription through the proxy, of a client at this address.
async fn subscribe(relay: &Relay, from: &str, client: &str) -> TcpStream {
    let mut stream = connect_from(relay, from).await;
    let headers = format!("X-Forwarded-For: 6.6.6.6, {client}\r\n");
    handshake_at(&mut stream, &relay.url.authority(), "", &headers).await;
    stream
}

/// Whether the next frame is one of a session; a refusal is a close.
async fn is_live(stream: &mut TcpStream) -> bool {
    read_frame(stream).await.expect("a frame").0 == 0x81
}

/// The limit of connections of one address counts each client of a proxy, and not the proxy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_of_a_proxy_are_counted_one_by_one() {
    let database = Database::migrated().await;
    let flags = ["--trusted-proxy", PROXY, "--max-connections-per-address", "2"];
    let relay = Relay::start(&database, &flags).await;
    let mut held = Vec::new();
    for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        let mut stream = subscribe(&relay, PROXY, client).await;
        assert!(is_live(&mut stream).await, "{client}");
        held.push(stream);
    }
    let of = |client| [("x-forwarded-for", client)];
    let body = event(1).to_string();
    let refused = send_from(&relay, PROXY, POST, &of("192.0.2.1"), &body).await;
    assert_eq!((refused.status().as_u16(), &*problem(&refused)), (503, "too-many-connections"));
    let other = send_from(&relay, PROXY, POST, &of("192.0.2.3"), &body).await;
    assert_eq!(other.status(), 200);
    let mut third = subscribe(&relay, PROXY, "192.0.2.1").await;
    assert!(!is_live(&mut third).await, "it is one too many");
    // A client that names another address is itself.
    let mut own = Vec::new();
    for _ in 0..2 {
        let mut stream = subscribe(&relay, ELSEWHERE, "192.0.2.7").await;
        assert!(is_live(&mut stream).await);
        own.push(stream);
    }
    let claimed = send_from(&relay, ELSEWHERE, POST, &of("192.0.2.8"), &body).await;
    assert_eq!(claimed.status(), 503);
    drop((held, third));
    until("the places to be free again", || async {
        let answer = send_from(&relay, PROXY, POST, &of("192.0.2.1"), &body).await;
        (answer.status() == 200).then_some(())
    })
    .await;
}

/// Scheme and host of the page are the proxy's word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_of_the_host_that_the_proxy_names() {
    let database = Database::migrated().await;
    let flags = ["--trusted-proxy", PROXY, "--allow-origin", "https://relay.school.example"];
    let relay = Relay::start(&database, &flags).await;
    let headers = |scheme, host, origin| {
        [("x-forwarded-proto", scheme), ("x-forwarded-host", host), ("origin", origin)]
    };
    const PATH: &str = "/api/classes";
    let own = headers("https", "localhost", "https://localhost");
    assert_eq!(get(&relay, PROXY, PATH, &own).await, 200);
    assert_eq!(get(&relay, ELSEWHERE, PATH, &own).await, 403, "its own words");
    let clear = headers("https", "localhost", "http://localhost");
    assert_eq!(get(&relay, PROXY, PATH, &clear).await, 403, "another scheme");
    let rebound = headers("https", "evil.example", "https://evil.example");
    assert_eq!(get(&relay, PROXY, PATH, &rebound).await, 403);
    let huge = "10.0.0.1, ".repeat(3_000);
    let long = [("x-forwarded-for", &*huge), ("x-forwarded-host", &huge), ("forwarded", &huge)];
    // hyper refuses a header that is longer than it takes.
    assert!([403, 431].contains(&get(&relay, PROXY, PATH, &long).await));
    let secure = [("x-forwarded-proto", "https"), ("x-forwarded-host", "relay.school.example")];
    let strict = "strict-transport-security";
    let answer = send_from(&relay, PROXY, ("GET", "/"), &secure, "").await;
    assert_eq!(answer.headers()[strict], "max-age=31536000");
    let answer = send_from(&relay, ELSEWHERE, ("GET", "/"), &secure, "").await;
    assert!(!answer.headers().contains_key(strict));
}

/// A user of the proxy has the rights that its groups give.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_the_proxy_has_the_rights_of_its_groups() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &USERS).await;
    const A: &str = "/api/class/summary?class=algebra";
    const B: &str = "/api/class/summary?class=physics";
    let user = |name, groups| [("x-forwarded-user", name), ("x-forwarded-groups", groups)];
    let teacher = user("tina", "instructors-algebra; physics");
    assert_eq!(get(&relay, PROXY, A, &teacher).await, 200);
    assert_eq!(get(&relay, PROXY, B, &teacher).await, 403);
    assert_eq!(get(&relay, PROXY, "/metrics", &teacher).await, 403);
    let operator = user("olga", "everyone, staff");
    assert_eq!(get(&relay, PROXY, B, &operator).await, 200);
    assert_eq!(get(&relay, PROXY, "/metrics", &operator).await, 200);
    assert_eq!(get(&relay, PROXY, A, &[]).await, 401);
    assert_eq!(get(&relay, PROXY, A, &user("", "staff")).await, 401);
    let nobody = user("ned", "");
    assert_eq!(get(&relay, PROXY, A, &nobody).await, 403);

    // A student posts as itself, whatever the body says, and only into its classes.
    let student = user("sam", "algebra");
    let body = event_of("algebra", 1).to_string();
    assert_eq!(send_from(&relay, PROXY, POST, &student, &body).await.status(), 200);
    let path = ("GET", "/api/class/events?class=algebra");
    let seen = send_from(&relay, PROXY, path, &operator, "").await;
    let seen: Value = serde_json::from_slice(seen.body()).expect("JSON");
    assert_eq!(seen["events"][0]["studentId"], "sam");
    let other = [("x-forwarded-user", "sam"), ("x-forwarded-groups", "algebra,chemistry")];
    let elsewhere = event_of("physics", 2).to_string();
    let refused = send_from(&relay, PROXY, POST, &other, &elsewhere).await;
    assert_eq!((refused.status().as_u16(), &*problem(&refused)), (403, "class-not-allowed"));
    assert_eq!(send_from(&relay, PROXY, POST, &nobody, &body).await.status(), 403);

    // A page of another site that the student visits posts with the proxy's cookie.
    let foreign = [&student[..], &[("origin", "https://evil.example")]].concat();
    let refused = send_from(&relay, PROXY, POST, &foreign, &body).await;
    assert_eq!((refused.status().as_u16(), &*problem(&refused)), (403, "origin-not-allowed"));
    let own = format!("http://{}", relay.url.authority());
    let own = [&student[..], &[("origin", &*own)]].concat();
    assert_eq!(send_from(&relay, PROXY, POST, &own, &body).await.status(), 200);

    let mut stream = connect_from(&relay, PROXY).await;
    let headers = "X-Forwarded-User: tina\r\nX-Forwarded-Groups: instructors-algebra\r\n";
    handshake_at(&mut stream, &relay.url.authority(), "?class=algebra", headers).await;
    assert!(is_live(&mut stream).await);
}

/// A user's name from anyone but the proxy is nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spoofed_users_are_ignored() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &USERS).await;
    let user = [("x-forwarded-user", "olga"), ("x-forwarded-groups", "staff")];
    const PATH: &str = "/api/class/summary?class=algebra";
    assert_eq!(get(&relay, PROXY, PATH, &user).await, 200);
    assert_eq!(get(&relay, ELSEWHERE, PATH, &user).await, 401);
    // An address that only claims to be the proxy's.
    let claimed =
        [&user[..], &[("x-forwarded-for", PROXY), ("forwarded", "for=127.0.0.1")]].concat();
    assert_eq!(get(&relay, ELSEWHERE, PATH, &claimed).await, 401);
    let body = json!([event_of("algebra", 1)]).to_string();
    assert_eq!(send_from(&relay, ELSEWHERE, POST, &user, &body).await.status(), 401);
    // Through the proxy: a second header of the client's, and names that only look like it.
    let twice = [&user[..], &[("x-forwarded-user", "mallory")]].concat();
    assert_eq!(get(&relay, PROXY, PATH, &twice).await, 401);
    let joined = [("x-forwarded-user", "mallory, olga"), user[1]];
    assert_eq!(get(&relay, PROXY, PATH, &joined).await, 401);
    let groups = [&user[..], &[("x-forwarded-groups", "staff")]].concat();
    assert_eq!(get(&relay, PROXY, PATH, &groups).await, 401);
    let underscores = [("x_forwarded_user", "olga"), ("x_forwarded_groups", "staff")];
    assert_eq!(get(&relay, PROXY, PATH, &underscores).await, 401);
    // A credential that the request names itself counts first, and a wrong one is wrong.
    let named = [&user[..], &[("authorization", "Bearer garbage")]].concat();
    assert_eq!(get(&relay, PROXY, PATH, &named).await, 401);
    assert_eq!(get(&relay, PROXY, &format!("{PATH}&token=garbage"), &user).await, 401);
    let log = relay.log();
    assert!(!log.contains("garbage"), "{log}");
}
