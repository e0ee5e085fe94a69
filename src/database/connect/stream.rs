//! A TLS connector that notes whether it was used. A server may refuse TLS where the relay would
//! have liked it, and the driver then goes on in clear without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_postgres::Socket;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The encrypted form of a connection's socket.
pub(in crate::database) type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

type Handshake = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// Makes the TLS handshake of one connection, and notes that it was asked for.
pub(super) struct CountingTls {
    connector: MakeRustlsConnect,
    is_used: Arc<AtomicBool>,
}

impl CountingTls {
    pub(super) fn new(connector: MakeRustlsConnect) -> Self {
        Self { connector, is_used: Arc::default() }
    }

    /// Whether the server has agreed to TLS.
    pub(super) fn is_used(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_used)
    }
}

impl MakeTlsConnect<Socket> for CountingTls {
    type Stream = Stream;
    type TlsConnect = CountedHandshake;
    type Error = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        let handshake = <MakeRustlsConnect as MakeTlsConnect<Socket>>::make_tls_connect(
            &mut self.connector,
            host,
        )?;
        Ok(CountedHandshake { handshake, is_used: Arc::clone(&self.is_used) })
    }
}

/// One handshake.
pub(super) struct CountedHandshake {
    handshake: Handshake,
    is_used: Arc<AtomicBool>,
}

impl TlsConnect<Socket> for CountedHandshake {
    type Stream = Stream;
    type Error = <Handshake as TlsConnect<Socket>>::Error;
    type Future = <Handshake as TlsConnect<Socket>>::Future;

    fn connect(self, stream: Socket) -> Self::Future {
        self.is_used.store(true, Ordering::Relaxed);
        self.handshake.connect(stream)
    }
}
