//! One keep-alive HTTP/1.1 connection.

use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio_util::task::AbortOnDropHandle;

use super::{BaseUrl, ClientError, path_of};
use crate::error::chain;

/// How long an answer may take, unless [`Connection::set_answer_timeout`] says otherwise. Longer
/// than the relay's own time limits, whose answers are worth more than this client's guess.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest body of an answer in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// A connection that carries one request after the other. After an error, drop it: whether the
/// server has handled the request is unknown.
#[derive(Debug)]
pub struct Connection {
    base: BaseUrl,
    host: HeaderValue,
    sender: SendRequest<Full<Bytes>>,
    answer_timeout: Duration,
    /// The task that moves the bytes.
    _driver: AbortOnDropHandle<()>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status; any is a success of the request.
    pub status: StatusCode,
    /// The headers as they were received.
    pub headers: HeaderMap,
    /// The body, within the bound on answers.
    pub body: Bytes,
}

impl Response {
    /// The body, from JSON.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] if it is none, or another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ClientError::Protocol(format!("the answer's body: {error}")))
    }

    /// The value of a header, if it is there once at least and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Connection {
    /// Connects, with TCP_NODELAY.
    ///
    /// # Errors
    /// [`ClientError::Connect`] if it cannot within 5 seconds.
    pub async fn open(base: &BaseUrl) -> Result<Self, ClientError> {
        let stream = base.dial().await?;
        let host = HeaderValue::from_str(&base.authority()).map_err(|_| {
            ClientError::Url(format!("{base}: its host does not fit into a header"))
        })?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ClientError::Lost(chain(&error)))?;
        // An error of the connection comes out of the request too.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self {
            base: base.clone(),
            host,
            sender,
            answer_timeout: ANSWER_TIMEOUT,
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    /// Whether it is still there, as far as is known: a server ends a connection that was idle for
    /// long. To be asked before a request that follows a pause; the connection may end at any
    /// moment after.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// How long an answer may take from now on.
    pub fn set_answer_timeout(&mut self, timeout: Duration) {
        self.answer_timeout = timeout;
    }

    /// Sends a request and reads its answer, whatever its status.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] without an answer in time; [`ClientError::Lost`] if the connection
    /// broke; [`ClientError::Protocol`] if the request or the answer is not HTTP, or the answer is
    /// over 64 MiB.
    pub async fn request(
        &mut self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response, ClientError> {
        let what = || format!("{method} {}", path_of(path_and_query));
        let unsendable = |why: String| ClientError::Protocol(format!("{}: {why}", what()));
        let method_name =
            Method::from_bytes(method.as_bytes()).map_err(|e| unsendable(e.to_string()))?;
        let mut request = Request::builder()
            .method(method_name)
            .uri(self.base.target(path_and_query))
            .header(header::HOST, self.host.clone());
        let is_own = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if let Some(value) = self.base.authorization.clone().filter(|_| !is_own) {
            request = request.header(header::AUTHORIZATION, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request =
            request.body(Full::new(body)).map_err(|error| unsendable(error.to_string()))?;

        let sender = &mut self.sender;
        let exchange = async move {
            let lost = |error: hyper::Error| {
                let text = chain(&error);
                if error.is_parse() { ClientError::Protocol(text) } else { ClientError::Lost(text) }
            };
            sender.ready().await.map_err(lost)?;
            let (parts, body) = sender.send_request(request).await.map_err(lost)?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
                if error.is::<http_body_util::LengthLimitError>() {
                    ClientError::Protocol(format!("the answer's body is over {MAX_ANSWER} bytes"))
                } else {
                    ClientError::Lost(chain(&*error))
                }
            })?;
            Ok(Response { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        match tokio::time::timeout(self.answer_timeout, exchange).await {
            Ok(answered) => answered,
            Err(_) => Err(ClientError::Timeout {
                to: self.base.authority(),
                what: what(),
                after: self.answer_timeout,
            }),
        }
    }

    /// `GET`, without further headers.
    ///
    /// # Errors
    /// As [`Connection::request`].
    pub async fn get(&mut self, path_and_query: &str) -> Result<Response, ClientError> {
        self.request("GET", path_and_query, &[], Bytes::new()).await
    }

    /// `POST` of a JSON body.
    ///
    /// # Errors
    /// As [`Connection::request`].
    pub async fn post_json(
        &mut self,
        path_and_query: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response, ClientError> {
        self.request("POST", path_and_query, &[("content-type", "application/json")], body.into())
            .await
    }
}
