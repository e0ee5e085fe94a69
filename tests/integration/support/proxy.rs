//! A proxy before a relay that can be cut and led to another relay.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use progress_relay::client::BaseUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A TCP proxy, which is to a client what a balancer is: the client's URL stays the same.
pub struct Proxy {
    address: SocketAddr,
    road: Arc<Mutex<Road>>,
    _accepting: AbortOnDropHandle<()>,
}

/// Where connections lead, and the token that cuts them.
struct Road {
    to: String,
    cut: CancellationToken,
    connections: usize,
}

impl Proxy {
    /// A proxy that leads to `url`.
    pub async fn to(url: &BaseUrl) -> Self {
        Self::start(url, true).await
    }

    /// A proxy that leads to `url` and ends a connection on which a WebSocket is asked for.
    pub async fn without_upgrades(url: &BaseUrl) -> Self {
        Self::start(url, false).await
    }

    async fn start(url: &BaseUrl, lets_upgrades: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let road = Road { to: url.authority(), cut: CancellationToken::new(), connections: 0 };
        let road = Arc::new(Mutex::new(road));
        let shared = Arc::clone(&road);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((mut near, _)) = listener.accept().await else { return };
                let (to, cut) = {
                    let mut road = shared.lock().expect("a road");
                    road.connections += 1;
                    (road.to.clone(), road.cut.clone())
                };
                tokio::spawn(cut.run_until_cancelled_owned(async move {
                    let Ok(mut far) = TcpStream::connect(&to).await else { return };
                    if !lets_upgrades {
                        copy_without_upgrades(near, far).await;
                        return;
                    }
                    // The end of one side ends both. A cancelled copy drops both connections
                    // without a close.
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }));
            }
        });
        Self { address, road, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// The URL for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads to another relay from now on, and cuts the open connections.
    pub fn lead_to(&self, url: &BaseUrl) {
        let mut road = self.road.lock().expect("a road");
        road.to = url.authority();
        std::mem::take(&mut road.cut).cancel();
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.road.lock().expect("a road").connections
    }
}

/// Copies until a request asks for a WebSocket.
async fn copy_without_upgrades(near: TcpStream, far: TcpStream) {
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let requests = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match from_near.read(&mut buffer).await {
                Ok(count) if count > 0 => {
                    // A browser sends the headers of a request at once.
                    let text = String::from_utf8_lossy(&buffer[..count]).to_ascii_lowercase();
                    let asks = text.contains("upgrade: websocket");
                    if asks || to_far.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    };
    tokio::select! {
        () = requests => {}
        _ = tokio::io::copy(&mut from_far, &mut to_near) => {}
    }
}
