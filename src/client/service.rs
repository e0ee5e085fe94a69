//! Requests to a service beside the relay, over https or http: the keys of an identity provider, a
//! hub.
//!
//! The service may be slow, lost, or hostile. So each request has a bound on its time, from the
//! look-up of the name to the last byte, and a bound on the answer's body; a redirect is an answer
//! like others and is not followed. No error repeats a URL, which may hold a secret.

use std::path::Path;
use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::http::Response;
use super::tls;
use crate::error::chain;

/// The connections to a service that are kept for later requests, and for how long.
const IDLE_CONNECTIONS: usize = 4;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bounds on a request to a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The time until the whole answer is there.
    pub time: Duration,
    /// The bytes of the answer's body.
    pub bytes: usize,
}

/// Why a request to a service has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServiceError {
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer's body is longer than the bound.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// No connection, or one that broke.
    #[error("{0}")]
    Lost(String),
}

/// A client of services. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ServiceClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl ServiceClient {
    /// A client that trusts the system's authorities, and those of a PEM file.
    ///
    /// # Errors
    /// If the file cannot be read, or has no certificate.
    pub(crate) fn new(authorities: Option<&Path>) -> Result<Self, String> {
        let config = tls::config(authorities)?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector.build());
        Ok(Self { client })
    }

    /// Sends a request, and reads its answer, whatever its status.
    ///
    /// # Errors
    /// If there is no answer within the bounds.
    pub(crate) async fn request(
        &self,
        request: Request<Bytes>,
        bounds: Bounds,
    ) -> Result<Response, ServiceError> {
        let exchange = async {
            let answer = self.client.request(request.map(Full::new)).await;
            let (parts, body) =
                answer.map_err(|error| ServiceError::Lost(chain(&error)))?.into_parts();
            let body = Limited::new(body, bounds.bytes).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    ServiceError::TooLong(bounds.bytes)
                } else {
                    ServiceError::Lost(chain(&*error))
                }
            })?;
            Ok(Response { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        match tokio::time::timeout(bounds.time, exchange).await {
            Ok(answered) => answered,
            Err(_) => Err(ServiceError::Timeout(bounds.time)),
        }
    }
}
