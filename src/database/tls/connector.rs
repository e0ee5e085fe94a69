//! The handshake of one attempt.
//!
//! tokio-postgres tells neither whether a connection is encrypted, nor, by a type, that a server
//! does not speak TLS. Both follow from how far the handshake came, which is noted here.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::Socket;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The encrypted form of a connection's socket.
pub(in crate::database) type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// How far an attempt came. A later step has a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Progress {
    /// The server was not reached.
    None,
    /// The server was reached. Unless this attempt is one without TLS, TLS was asked for.
    Reached,
    /// The server has agreed to TLS.
    Handshake,
    /// The handshake has succeeded.
    Encrypted,
}

/// Makes the TLS handshakes of one attempt. Clones share the note of how far it came.
#[derive(Clone)]
pub(in crate::database) struct TlsConnector {
    /// `None` for a connection that is never encrypted.
    inner: Option<MakeRustlsConnect>,
    progress: Arc<AtomicU8>,
}

impl TlsConnector {
    /// A connector of a rustls configuration.
    pub(super) fn new(inner: Option<MakeRustlsConnect>) -> Self {
        Self { inner, progress: Arc::default() }
    }

    /// Whether the connection is encrypted.
    pub(in crate::database) fn is_encrypted(&self) -> bool {
        self.progress() == Progress::Encrypted
    }

    /// How far the attempt came.
    pub(super) fn progress(&self) -> Progress {
        let all = [Progress::None, Progress::Reached, Progress::Handshake, Progress::Encrypted];
        let noted = self.progress.load(Ordering::Acquire);
        all.into_iter().find(|step| *step as u8 == noted).unwrap_or(Progress::None)
    }
}

fn note(progress: &AtomicU8, step: Progress) {
    progress.fetch_max(step as u8, Ordering::AcqRel);
}

/// The handshake of one connection.
pub(in crate::database) struct Handshake<T> {
    inner: Option<T>,
    progress: Arc<AtomicU8>,
}

impl<S> MakeTlsConnect<S> for TlsConnector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = <MakeRustlsConnect as MakeTlsConnect<S>>::Stream;
    type TlsConnect = Handshake<<MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect>;
    type Error = <MakeRustlsConnect as MakeTlsConnect<S>>::Error;

    // tokio-postgres calls this when it has connected to the server.
    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        note(&self.progress, Progress::Reached);
        let inner = self
            .inner
            .as_mut()
            .map(|inner| <MakeRustlsConnect as MakeTlsConnect<S>>::make_tls_connect(inner, domain));
        Ok(Handshake { inner: inner.transpose()?, progress: Arc::clone(&self.progress) })
    }
}

impl<S, T> TlsConnect<S> for Handshake<T>
where
    S: Send + 'static,
    T: TlsConnect<S, Error = io::Error> + Send + 'static,
    T::Future: Send,
{
    type Stream = T::Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<T::Stream>> + Send>>;

    // tokio-postgres calls this when the server has agreed to TLS.
    fn connect(self, stream: S) -> Self::Future {
        note(&self.progress, Progress::Handshake);
        Box::pin(async move {
            let Some(inner) = self.inner else { return Err(io::ErrorKind::Unsupported.into()) };
            let stream = inner.connect(stream).await?;
            note(&self.progress, Progress::Encrypted);
            Ok(stream)
        })
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TlsConnector").field("progress", &self.progress()).finish()
    }
}
