//! The accept loop, and the limits of every connection.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::drain::Drain;
use super::stream::ClientStream;
use super::timeouts::{RequestCounts, TimeoutStream};
use super::tls::Tls;
use crate::http::context::Relay;
use crate::http::dispatch;
use crate::http::request::{Door, Inbound};
use crate::repeated::Repeated;

/// How long an idle connection is kept: longer than proxies keep theirs (nginx and the cloud's
/// balancers: 60 s), so that it is they who close, and no request meets a connection that is just
/// being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// A connection's buffer for headers and answers; hyper takes headers of up to about twice that.
const MAX_BUFFER: usize = 32 * 1024;
/// How long to wait when the system has no more descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Connections that could not be accepted: without descriptors, twenty times a second.
static UNACCEPTED: Repeated = Repeated::new();

/// A listener, and what connections by it are.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// Accepts connections.
    pub listener: TcpListener,
    /// Whom they are for.
    pub door: Door,
    /// The relay's side of TLS, if connections are encrypted.
    pub tls: Option<Tls>,
}

/// Serves by `entrance` until the relay drains: returns once every request in flight is answered.
/// Sessions are tasks of the drain, which waits for them: [`Drain::sessions_ended`].
pub(crate) async fn serve(entrance: Entrance, relay: Arc<Relay>) {
    let Entrance { listener, door, tls } = entrance;
    let connections = TaskTracker::new();
    let closing = relay.drain.closing().clone();
    let routes = dispatch::filter(relay.clone());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => break,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // A peer that disconnected before it was accepted is no fault. Any other error is
                // logged, since an operator may have to act.
                if !matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) {
                    if let Some(due) = UNACCEPTED.met(&error.to_string()) {
                        tracing::error!(
                            "cannot accept connections{due}: {error}; if files are too many, \
                                 raise ulimit -n"
                        );
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
                continue;
            }
        };
        let Some(permit) = relay.gate.permit(remote, door) else {
            tracing::debug!(%remote, "a connection beyond every limit is dropped");
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%remote, %error, "a connection went before it was served");
            continue;
        }
        let inbound = Inbound { remote, is_tls: tls.is_some(), door, permit };
        let (tls, routes, drain) = (tls.clone(), routes.clone(), relay.drain.clone());
        connections.spawn(async move {
            match encrypted(stream, tls).await {
                Ok(stream) => connection(stream, inbound, routes, drain).await,
                Err(error) => tracing::debug!(%remote, "a handshake of TLS failed: {error}"),
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The stream of a new connection, after the handshake if there is one.
async fn encrypted(stream: TcpStream, tls: Option<Tls>) -> io::Result<ClientStream> {
    match tls {
        Some(tls) => tls.accept(stream).await.map(|stream| ClientStream::Tls(Box::new(stream))),
        None => Ok(ClientStream::Clear(stream)),
    }
}

async fn connection(
    stream: ClientStream,
    inbound: Inbound,
    routes: BoxedFilter<(Response,)>,
    drain: Drain,
) {
    let closing = drain.closing().clone();
    let requests = RequestCounts::default();
    let io = TokioIo::new(TimeoutStream::new(stream, requests.clone()));
    let service = TowerToHyperService::new(warp::service(routes));
    let service = service_fn(move |mut request: Request<Incoming>| {
        requests.begin();
        request.extensions_mut().insert(inbound.clone());
        let answer = service.call(request);
        let requests = requests.clone();
        let drain = drain.clone();
        async move {
            let mut answer = answer.await?;
            requests.answer();
            if drain.is_draining() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                // With `Connection: close` the client connects elsewhere. Without it the client
                // would lose its next request.
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(KEEP_ALIVE).max_buf_size(MAX_BUFFER);
    let connection = http.serve_connection(io, service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {}", crate::error::chain(&error));
    }
}
