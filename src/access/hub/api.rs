//! The two requests that the relay makes to the hub's API: whose token is this, and an access token
//! for a code. Each has a bound on its time and its answer, and follows no redirect.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use serde::Deserialize;
use url::form_urlencoded;

use super::config::HubConfig;
use super::user::{self, HubRefusal, HubUser};
use crate::access::groups::GroupRules;
use crate::client::service::{Bounds, ServiceClient};

/// Bounds on a request to the hub. The user of an instructor has a scope for each server that it
/// may enter, so the answer may be long.
const BOUNDS: Bounds = Bounds { time: HUB_PATIENCE, bytes: 1 << 20 };
/// How long an answer of the hub may take, the wait for a free connection included.
pub(super) const HUB_PATIENCE: Duration = Duration::from_secs(5);

/// Why the hub's answer cannot be used. It says nothing about the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HubError {
    /// The hub is away, slow, or answers that it fails.
    #[error("the hub is away: {0}")]
    Away(String),
    /// The hub answers something that is not its API's.
    #[error("the hub's answer is not understood: {0}")]
    NotUnderstood(String),
}

/// The hub's API.
#[derive(Debug)]
pub(super) struct HubApi {
    client: ServiceClient,
    pub(super) config: HubConfig,
    rules: GroupRules,
}

impl HubApi {
    pub(super) fn new(client: ServiceClient, config: HubConfig, rules: GroupRules) -> Self {
        Self { client, config, rules }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// If the hub cannot be asked now.
    pub(super) async fn user_of(
        &self,
        token: &str,
    ) -> Result<Result<HubUser, HubRefusal>, HubError> {
        // A text that no header can carry is no token of the hub's.
        let Ok(mut authorization) = HeaderValue::from_str(&format!("token {token}")) else {
            return Ok(Err(HubRefusal::Unknown));
        };
        authorization.set_sensitive(true);
        let request = Request::builder()
            .uri(format!("{}/user", self.config.api_url))
            .header(header::AUTHORIZATION, authorization)
            .header(header::ACCEPT, "application/json")
            .body(Bytes::new());
        let (status, body) = self.exchange(request).await?;
        match status {
            StatusCode::OK => user::read(&body, &self.config.access_scopes, &self.rules)
                .map_err(HubError::NotUnderstood),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                Ok(Err(HubRefusal::Unknown))
            }
            status => Err(unexpected(status)),
        }
    }

    /// The access token for a code that the hub has given a browser; `None` if the hub refuses it.
    ///
    /// # Errors
    /// If the hub cannot be asked now.
    pub(super) async fn access_token(
        &self,
        code: &str,
        verifier: &str,
    ) -> Result<Option<String>, HubError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.config.client_id)
            .append_pair("client_secret", self.config.api_token.expose())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.config.redirect_uri)
            .append_pair("code_verifier", verifier)
            .finish();
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/oauth2/token", self.config.api_url))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Bytes::from(form));
        let (status, body) = self.exchange(request).await?;
        if status.is_client_error() {
            tracing::debug!(%status, "the hub refuses a code");
            return Ok(None);
        }
        if status != StatusCode::OK {
            return Err(unexpected(status));
        }
        let given: AccessToken = serde_json::from_slice(&body)
            .map_err(|_| HubError::NotUnderstood("it has no access_token".to_owned()))?;
        Ok(Some(given.access_token))
    }

    async fn exchange(
        &self,
        request: http::Result<Request<Bytes>>,
    ) -> Result<(StatusCode, Bytes), HubError> {
        let request = request.map_err(|error| HubError::Away(error.to_string()))?;
        let answer = self.client.request(request, BOUNDS).await;
        let answer = answer.map_err(|error| HubError::Away(error.to_string()))?;
        Ok((answer.status, answer.body))
    }
}

#[derive(Deserialize)]
struct AccessToken {
    access_token: String,
}

fn unexpected(status: StatusCode) -> HubError {
    let said = format!("it answers {status}");
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        HubError::Away(said)
    } else {
        HubError::NotUnderstood(said)
    }
}
