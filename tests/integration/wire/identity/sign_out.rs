//! A sign-out ends the session, also for whoever has a copy of the cookie.

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::support::{Database, Issuer, Relay, handshake_with, read_frame, until, within};

const PATH: &str = "/api/class/summary?class=algebra";

async fn send(relay: &Relay, method: &str, path: &str, cookie: &str, body: &str) -> (u16, String) {
    let origin = format!("http://{}", relay.url.authority());
    let headers = [("origin", &*origin), ("cookie", cookie), ("content-type", "application/json")];
    let mut connection = relay.connection().await;
    let body = Bytes::from(body.to_owned());
    let answer = connection.request(method, path, &headers, body).await.expect("an answer");
    let set = answer.header("set-cookie").unwrap_or_default();
    (answer.status.as_u16(), set.split(';').next().unwrap_or_default().to_owned())
}

async fn sign_in(relay: &Relay, issuer: &Issuer) -> String {
    let token = issuer.token("ann", "instructor", &["algebra"]);
    let body = format!("{{\"token\":\"{token}\"}}");
    let (status, cookie) = send(relay, "POST", "/sign-in", "", &body).await;
    assert_eq!(status, 303);
    cookie
}

async fn sign_out(relay: &Relay, cookie: &str) {
    let (status, cookie) = send(relay, "POST", "/sign-out", cookie, "").await;
    assert_eq!((status, cookie.as_str()), (303, "progress-relay="), "the cookie is removed");
}

async fn read(relay: &Relay, cookie: &str) -> u16 {
    send(relay, "GET", PATH, cookie, "").await.0
}

/// A socket that is live.
async fn socket(relay: &Relay, cookie: &str) -> TcpStream {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    handshake_with(&mut stream, relay, "?class=algebra", &format!("Cookie: {cookie}\r\n")).await;
    let (first, _) = within("live", read_frame(&mut stream)).await.expect("a frame");
    assert_eq!(first, 0x81);
    stream
}

async fn closed(mut stream: TcpStream) -> String {
    loop {
        let (first, payload) =
            within("the close", read_frame(&mut stream)).await.expect("a close frame");
        if first == 0x88 {
            assert_eq!(u16::from_be_bytes([payload[0], payload[1]]), 1008);
            return String::from_utf8_lossy(&payload[2..]).into_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_ends_the_session_at_every_replica() {
    let database = Database::new().await;
    let issuer = Issuer::new();
    let here = issuer.relay(&database, &[]).await;
    let there = issuer.relay(&database, &[]).await;
    let (cookie, other) = (sign_in(&here, &issuer).await, sign_in(&here, &issuer).await);
    for relay in [&here, &there] {
        assert_eq!((read(relay, &cookie).await, read(relay, &other).await), (200, 200));
    }
    let (live_here, live_there) = (socket(&here, &cookie).await, socket(&there, &cookie).await);
    sign_out(&here, &cookie).await;
    assert_eq!(read(&here, &cookie).await, 401, "at once");
    for live in [live_here, live_there] {
        assert!(closed(live).await.starts_with("unauthorized"));
    }
    until("the other replica", async || (read(&there, &cookie).await == 401).then_some(())).await;
    for relay in [&here, &there] {
        assert_eq!(read(relay, &other).await, 200, "another browser of the same person");
    }
    // A replica that begins later knows it too, and a second sign-out changes nothing.
    let late = issuer.relay(&database, &[]).await;
    assert_eq!((read(&late, &cookie).await, read(&late, &other).await), (401, 200));
    for cookie in [&*cookie, "", "progress-relay=x.y.z"] {
        sign_out(&late, cookie).await;
    }
    let rows = database.client().await;
    let rows = rows.query("SELECT session_hash, expires_at FROM sign_out", &[]).await;
    assert_eq!(rows.expect("the table").len(), 1, "only sessions that were good are remembered");
}

/// What a relay knew when the database went away goes on to count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_counts_while_the_database_is_away() {
    let database = Database::new().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &["--rate-limit-caller", "off"]).await;
    let (cookie, other) = (sign_in(&relay, &issuer).await, sign_in(&relay, &issuer).await);
    assert_eq!(read(&relay, &cookie).await, 200);
    sign_out(&relay, &cookie).await;
    database.allow_connections(false).await;
    database.terminate("%").await;
    // `GET /api/me` needs nothing of the database.
    let me = async |cookie: &str| send(&relay, "GET", "/api/me", cookie, "").await.0;
    until("the list to be too old", async || {
        assert_eq!((me(&cookie).await, me(&other).await), (401, 200));
        relay.log().contains("sign-outs at other replicas are not known").then_some(())
    })
    .await;
    assert_eq!((me(&cookie).await, me(&other).await), (401, 200));
    // The cookie is removed all the same, and the log says that the session goes on.
    sign_out(&relay, &other).await;
    assert!(relay.log().contains("a browser signs out"), "{}", relay.log());
}
