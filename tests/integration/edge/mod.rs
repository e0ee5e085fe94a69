//! Between the relay and its clients.

// The listener for operators, and what everyone else is told of the relay's health.
mod admin;
// The path below which the routes lie.
mod base_path;
// The image of deploy/Containerfile, step by step, without an engine.
mod container;
// The files of deploy/ that no test can run as they are.
mod deploy;
// The headers by which a browser protects the page and its data.
mod headers;
// Addresses, schemes, hosts and users that a trusted proxy names.
mod proxies;
// Limits of rates: of a student, of an address, and of wrong credentials.
mod rates;
// nginx, HAProxy and Caddy by the files of deploy/.
mod reverse_proxies;
// TLS of the relay itself, and certificates that are renewed.
mod tls;

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Relay, https};

/// A connection to a relay from this address of loopback.
async fn connect_from(relay: &Relay, address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let own: IpAddr = address.parse().expect("an address");
    socket.bind(SocketAddr::new(own, 0)).expect("an address of loopback");
    let to = relay.url.authority().parse().expect("an address");
    socket.connect(to).await.expect("a connection")
}

/// A request from this address of loopback, with these headers beside `Host`.
async fn send_from(
    relay: &Relay,
    address: &str,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> http::Response<Bytes> {
    let stream = connect_from(relay, address).await;
    let host = relay.url.authority();
    let own = [("host", &*host), ("content-type", "application/json")];
    let is_own = |name: &str| headers.iter().any(|(given, _)| *given == name);
    let own: Vec<_> = own.into_iter().filter(|(name, _)| !is_own(name)).collect();
    https::send(stream, method, path, &[&own, headers].concat(), body).await
}

/// The name of a problem.
fn problem(answer: &http::Response<Bytes>) -> String {
    let problem: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let name = problem["type"].as_str().unwrap_or_default();
    name.trim_start_matches("urn:progress-relay:problem:").to_owned()
}
