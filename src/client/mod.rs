//! A small client of the relay's wire: what `tail`, `simulate` and the tests speak.
//!
//! - [`http::Connection`]: requests over one keep-alive connection
//! - [`ws::Subscriber`]: a dashboard's WebSocket
//! - [`service::ServiceClient`]: bounded requests to a service beside the relay, over https too
//!
//! Neither connects again by itself: its holder knows whether a request may be repeated and where
//! a subscription goes on. [`reconnect_backoff`] says how long to wait before. The server
//! may end a keep-alive connection while it is idle: [`http::Connection::is_open`] says so before a
//! request is lost on it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::backoff::Backoff;

pub mod http;
pub(crate) mod service;
mod tls;
pub mod ws;

/// How long connecting may take, the WebSocket's handshake after it likewise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The first wait before connecting again is at most this long, and none longer than the cap.
const RECONNECT_BASE: Duration = Duration::from_millis(100);
const RECONNECT_CAP: Duration = Duration::from_secs(5);
/// How many loopback addresses a client may come from.
const LOOPBACKS: u8 = 16;

/// A connection to a relay, without TLS or with it. The state of TLS is large, and most connections
/// are without it.
type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Why a request or a subscription failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL is none that this client can speak to.
    #[error("{0}")]
    Url(String),
    /// No connection could be made.
    #[error("cannot connect to {to}: {source}")]
    Connect {
        /// Host and port.
        to: String,
        /// The system's error.
        source: io::Error,
    },
    /// The server answered, but not in time.
    #[error("no answer from {to} to {what} within {after:?}")]
    Timeout {
        /// Host and port.
        to: String,
        /// The request.
        what: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// A WebSocket was asked for; the answer was another status than 101.
    #[error("{to} answered {status} instead of opening a WebSocket{detail}")]
    Refused {
        /// The URL that was asked.
        to: String,
        /// The answer's status.
        status: u16,
        /// The problem's text, with a colon in front; empty if the answer has none.
        detail: String,
    },
    /// The server closed the WebSocket, or ended the connection between two frames.
    #[error("the server closed the connection{}", describe_close(*.code, .reason))]
    Closed {
        /// The close frame's code; `None` without one.
        code: Option<u16>,
        /// The close frame's reason, possibly empty.
        reason: String,
    },
    /// Nothing came for longer than the server's pings are apart.
    #[error("the server was silent for {0:?}")]
    Silent(Duration),
    /// The connection broke.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The other side does not speak the protocol, or a frame or body is beyond what this client
    /// takes.
    #[error("not understood: {0}")]
    Protocol(String),
}

impl ClientError {
    /// Whether the same request may succeed later: the relay, or a proxy before it, is unavailable.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Url(_) | Self::Protocol(_) => false,
            Self::Refused { status, .. } => *status >= 500 || matches!(status, 408 | 429),
            Self::Closed { code, .. } => *code != Some(1008),
            Self::Connect { .. } | Self::Timeout { .. } | Self::Silent(_) | Self::Lost(_) => true,
        }
    }
}

fn describe_close(code: Option<u16>, reason: &str) -> String {
    match (code, reason) {
        (None, _) => String::new(),
        (Some(code), "") => format!(" ({code})"),
        (Some(code), reason) => format!(" ({code}: {reason})"),
    }
}

/// Where a relay is: `http://host:port[/path]`, or https; and the token that it is sent, if it
/// wants one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    is_https: bool,
    host: url::Host<String>,
    port: u16,
    /// Empty, or begins with a slash and ends without one.
    path: String,
    /// Marked as sensitive, so that its `Debug` shows nothing.
    authorization: Option<HeaderValue>,
}

impl BaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`ClientError::Url`] if it is neither http nor https, has no host, or has a user, a query or
    /// a fragment.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let wrong = |why: &str| {
            ClientError::Url(format!(
                "{text:?} is not a relay's URL ({why}): write http://HOST:PORT"
            ))
        };
        let url = url::Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let is_https = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(wrong(&format!("its scheme is {other:?}"))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it has a user name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has a query or fragment"));
        }
        let host = url.host().ok_or_else(|| wrong("it has no host"))?.to_owned();
        let port = url.port_or_known_default().ok_or_else(|| wrong("it has no port"))?;
        let path = url.path().trim_end_matches('/').to_owned();
        Ok(Self { is_https, host, port, path, authorization: None })
    }

    /// The same, with a token that every request carries.
    ///
    /// # Errors
    /// [`ClientError::Url`] if the token does not fit into a header.
    pub fn with_token(self, token: &str) -> Result<Self, ClientError> {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| {
            ClientError::Url("the token has characters that no token has".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(Self { authorization: Some(value), ..self })
    }

    /// `host:port`, as in the header `Host`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The target of the request line: `path_and_query` below this URL's path.
    pub fn target(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.path)
    }

    /// Opens a connection with TCP_NODELAY, and with TLS if the URL is https.
    async fn dial(&self) -> Result<Stream, ClientError> {
        let connect = async {
            let stream = match &self.host {
                url::Host::Domain(name) => TcpStream::connect((name.as_str(), self.port)).await,
                url::Host::Ipv4(address) => match TcpStream::connect((*address, self.port)).await {
                    Err(error)
                        if address.is_loopback()
                            && error.kind() == io::ErrorKind::AddrNotAvailable =>
                    {
                        from_another_loopback(SocketAddr::from((*address, self.port)), error).await
                    }
                    connected => connected,
                },
                url::Host::Ipv6(address) => TcpStream::connect((*address, self.port)).await,
            }?;
            stream.set_nodelay(true)?;
            Ok(match self.is_https {
                true => Either::Right(tls::handshake(stream, &self.host).await?),
                false => Either::Left(stream),
            })
        };
        let failed = |source| ClientError::Connect { to: self.authority(), source };
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(connected) => connected.map_err(failed),
            Err(_) => Err(failed(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {CONNECT_TIMEOUT:?}"),
            ))),
        }
    }
}

/// A loopback address has some 28,000 ports towards a server; where it has run out of them, there
/// are more addresses.
async fn from_another_loopback(to: SocketAddr, mut error: io::Error) -> io::Result<TcpStream> {
    for last in 2..=LOOPBACKS {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
        match socket.connect(to).await {
            Err(failed) if failed.kind() == io::ErrorKind::AddrNotAvailable => error = failed,
            connected => return connected,
        }
    }
    Err(error)
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl std::str::FromStr for BaseUrl {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        Self::parse(text)
    }
}

/// The path of a request's target. Errors name it alone, since a query may have a token.
fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or(target)
}

/// `name=value&…`, percent-encoded, a space as `%20`, which every server decodes alike.
pub fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    // A plus of the text itself is written %2B.
    encoded.replace('+', "%20")
}

/// The waits between a client's attempts to reach a relay that is away.
pub(crate) fn reconnect_backoff() -> Backoff {
    Backoff::new(RECONNECT_BASE, RECONNECT_CAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = BaseUrl::parse("http://localhost:8000/relay/").expect("valid");
        assert_eq!(url.authority(), "localhost:8000");
        assert_eq!(url.target("/healthz"), "/relay/healthz");
        assert_eq!(url.to_string(), "http://localhost:8000/relay");
        let url = BaseUrl::parse("http://[::1]").expect("valid");
        assert_eq!(url.authority(), "[::1]:80");
        let https = BaseUrl::parse("https://a/b").expect("valid");
        assert_eq!(
            (https.authority(), https.to_string()),
            ("a:443".into(), "https://a:443/b".into())
        );
        assert_eq!(url.target("/"), "/");
    }

    #[test]
    fn urls_that_are_none() {
        for text in [
            "localhost:8000",
            "127.0.0.1:8000",
            "",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "http://a/?b=c",
        ] {
            let error = BaseUrl::parse(text).expect_err(text).to_string();
            assert!(error.contains("http://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_query_is_percent_encoded() {
        assert_eq!(
            query([("class", "a b+c&d"), ("class", "é")]),
            "class=a%20b%2Bc%26d&class=%C3%A9"
        );
    }

    #[test]
    fn what_is_away_is_tried_again_what_is_wrong_is_not() {
        let refused =
            |status| ClientError::Refused { to: String::new(), status, detail: String::new() };
        let closed = |code| ClientError::Closed { code, reason: String::new() };
        assert!(
            refused(503).is_transient()
                && closed(Some(1001)).is_transient()
                && closed(None).is_transient()
        );
        assert!(
            !refused(404).is_transient()
                && !refused(426).is_transient()
                && !refused(200).is_transient()
        );
        assert!(!closed(Some(1008)).is_transient());
    }
}
