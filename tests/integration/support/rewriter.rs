//! A TCP proxy that changes some bytes: a server or a relay of another release, or with another
//! clock.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// The proxy. It looks at what one read returns, which on loopback is a whole message.
pub struct Rewriter {
    pub address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

impl Rewriter {
    /// Starts a proxy before `server` that puts `to` in the place of `from` in both directions. The
    /// two are of the same length.
    pub async fn before(server: SocketAddr, from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len(), "messages say how long they are");
        let change = Arc::new((from.as_bytes().to_vec(), to.as_bytes().to_vec()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let change = Arc::clone(&change);
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(server).await else { return };
                    let (near_reads, near_writes) = near.into_split();
                    let (far_reads, far_writes) = far.into_split();
                    // The end of one direction ends both.
                    tokio::select! {
                        () = pass(near_reads, far_writes, &change) => {}
                        () = pass(far_reads, near_writes, &change) => {}
                    }
                });
            }
        });
        Self { address, _accepting: AbortOnDropHandle::new(accepting) }
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    (wanted, put): &(Vec<u8>, Vec<u8>),
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let bytes = &mut buffer[..read];
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(wanted.len()).position(|part| part == wanted) {
            at += found;
            bytes[at..at + wanted.len()].copy_from_slice(put);
            at += wanted.len();
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
