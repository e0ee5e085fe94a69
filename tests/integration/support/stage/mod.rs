//! A stage for faults: PostgreSQL servers, proxies, relays, a balancer, producers and dashboards,
//! and everything that a test may do to them.

mod balancer;
mod cluster;
mod crowd;
mod netns;
mod patroni;
mod pgproxy;
mod play;
mod programs;

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Mutex;

pub use balancer::{HaProxy, PgBouncer, end, folder_with, replace, shipped, start};
pub use cluster::{Cluster, DATABASE, url, url_of};
pub use crowd::CLIENTS;
pub use netns::{Netns, mount_small, unmount};
pub use patroni::{Patroni, Replication};
pub use pgproxy::{PgProxy, Route};
pub use play::{Outcome, Play, Scale};

/// A free port of loopback that no other test of this run gets.
pub fn port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    loop {
        // Below the ports that Linux gives to outgoing connections: one of those could take the
        // port before the server that it is meant for listens on it.
        let port = fastrand::u16(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_err() {
            continue;
        }
        let mut given = GIVEN.lock().expect("no panic while it is held");
        if given.get_or_insert_default().insert(port) {
            return port;
        }
    }
}
