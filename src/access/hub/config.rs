//! Which hub, and as which of its services the relay asks it.

use std::fmt;
use std::path::PathBuf;

use url::Url;

/// The hub, and the relay's place in it, validated.
#[derive(Debug, Clone)]
pub(crate) struct HubConfig {
    /// The hub's API as the relay reaches it, without a slash at the end.
    pub api_url: String,
    /// The service's own token; it is the client's secret of OAuth too.
    pub api_token: ApiToken,
    /// The page of the hub to which a browser that signs in is sent.
    pub authorize_url: String,
    /// The service's OAuth client.
    pub client_id: String,
    /// The address to which the hub sends the browser back, as it is registered there.
    pub redirect_uri: String,
    /// Scopes of which a user needs one.
    pub access_scopes: Vec<String>,
    /// The origin under which browsers see the hub and the relay, where it is known.
    pub public_origin: Option<String>,
    /// Authorities beside the system's that may sign the certificate of the hub's API.
    pub authorities: Option<PathBuf>,
}

/// The service's token. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ApiToken(String);

impl ApiToken {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken")
    }
}

/// The settings as they are given, by flags or by the variables that a hub sets for a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HubSettings {
    /// `JUPYTERHUB_API_URL`.
    pub api_url: Option<String>,
    /// `JUPYTERHUB_API_TOKEN`.
    pub api_token: Option<ApiToken>,
    /// `JUPYTERHUB_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// `JUPYTERHUB_CLIENT_ID`.
    pub client_id: Option<String>,
    /// `JUPYTERHUB_OAUTH_CALLBACK_URL`.
    pub callback_url: Option<String>,
    /// `JUPYTERHUB_OAUTH_ACCESS_SCOPES`, else `JUPYTERHUB_OAUTH_SCOPES`: a JSON array.
    pub access_scopes: Option<String>,
    /// `JUPYTERHUB_HOST` and `JUPYTERHUB_BASE_URL`, or `JUPYTERHUB_PUBLIC_HUB_URL` without its
    /// `/hub/`: the hub as browsers reach it.
    pub public_url: Option<String>,
    /// `JUPYTERHUB_SERVICE_PREFIX`.
    pub service_prefix: Option<String>,
    /// Authorities beside the system's.
    pub authorities: Option<PathBuf>,
}

impl HubSettings {
    /// The settings of a service that a hub has started. A user's server has most of these
    /// variables too, but not the service's name: a relay that someone starts there is no service.
    pub(crate) fn of_service(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let Some(service_name) = variable("JUPYTERHUB_SERVICE_NAME") else {
            return Self::default();
        };
        let public = variable("JUPYTERHUB_PUBLIC_HUB_URL").map(|url| {
            let url = url.trim_end_matches('/');
            url.strip_suffix("/hub").unwrap_or(url).to_owned()
        });
        let host_and_base = || {
            let base = variable("JUPYTERHUB_BASE_URL").unwrap_or_default();
            format!("{}{base}", variable("JUPYTERHUB_HOST").unwrap_or_default())
        };
        Self {
            api_url: variable("JUPYTERHUB_API_URL"),
            api_token: variable("JUPYTERHUB_API_TOKEN").map(ApiToken::from),
            service_name: Some(service_name),
            client_id: variable("JUPYTERHUB_CLIENT_ID"),
            callback_url: variable("JUPYTERHUB_OAUTH_CALLBACK_URL"),
            access_scopes: variable("JUPYTERHUB_OAUTH_ACCESS_SCOPES")
                .or_else(|| variable("JUPYTERHUB_OAUTH_SCOPES")),
            public_url: Some(public.unwrap_or_else(host_and_base)),
            service_prefix: variable("JUPYTERHUB_SERVICE_PREFIX"),
            authorities: None,
        }
    }

    /// These settings, and those of `others` where these say nothing.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            api_url: self.api_url.or(others.api_url),
            api_token: self.api_token.or(others.api_token),
            service_name: self.service_name.or(others.service_name),
            client_id: self.client_id.or(others.client_id),
            callback_url: self.callback_url.or(others.callback_url),
            access_scopes: self.access_scopes.or(others.access_scopes),
            public_url: self.public_url.or(others.public_url),
            service_prefix: self.service_prefix.or(others.service_prefix),
            authorities: self.authorities.or(others.authorities),
        }
    }

    /// The hub; `None` if no hub is configured.
    ///
    /// # Errors
    /// Names the setting that is missing or wrong.
    pub(crate) fn validate(self) -> Result<Option<HubConfig>, String> {
        let (api_url, api_token) = match (self.api_url, self.api_token) {
            (None, None) => return Ok(None),
            (Some(_), None) => {
                return Err(
                    "--hub-api-url: the hub takes no request without the service's token: \
                            give --hub-token-file, or JUPYTERHUB_API_TOKEN"
                        .to_owned(),
                );
            }
            (None, Some(_)) => {
                return Err("the hub's token is given, and not where its API is: give \
                            --hub-api-url, as in http://127.0.0.1:8081/hub/api"
                    .to_owned());
            }
            (Some(url), Some(token)) => (url, token),
        };
        let is_sendable = |token: &str| token.bytes().all(|byte| byte.is_ascii_graphic());
        if api_token.0.is_empty() || !is_sendable(&api_token.0) {
            return Err("the hub's token is empty, or has spaces or characters that no token has"
                .to_owned());
        }
        let url = Url::parse(&api_url).map_err(|error| {
            format!("--hub-api-url {api_url:?}: {error}: write http://HOST:PORT/hub/api")
        })?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !is_plain {
            return Err(
                "--hub-api-url: write http://HOST:PORT/hub/api, without a user, a query or \
                        a fragment"
                    .to_owned(),
            );
        }
        let name = self.service_name.ok_or(
            "the hub checks which service a user may use: give --hub-service-name, the name that \
             the hub's configuration has for the relay",
        )?;
        let access_scopes = match self.access_scopes {
            Some(text) => scopes(&text)?,
            None => vec![format!("access:services!service={name}")],
        };
        let public_url = self.public_url.unwrap_or_default();
        let public_url = public_url.trim_end_matches('/');
        if !public_url.is_empty() && !public_url.starts_with('/') {
            let parsed = Url::parse(public_url);
            if !parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
                return Err(format!("--hub-public-url {public_url:?} is not an http(s) URL"));
            }
        }
        let redirect_uri = self.callback_url.or_else(|| {
            let prefix = self.service_prefix?;
            Some(format!("{}/oauth_callback", prefix.trim_end_matches('/')))
        });
        let redirect_uri =
            redirect_uri.unwrap_or_else(|| format!("{public_url}/services/{name}/oauth_callback"));
        Ok(Some(HubConfig {
            api_url: api_url.trim_end_matches('/').to_owned(),
            api_token,
            authorize_url: format!("{public_url}/hub/api/oauth2/authorize"),
            client_id: self.client_id.unwrap_or_else(|| format!("service-{name}")),
            public_origin: origin(public_url).or_else(|| origin(&redirect_uri)),
            redirect_uri,
            access_scopes,
            authorities: self.authorities,
        }))
    }
}

impl From<String> for ApiToken {
    fn from(token: String) -> Self {
        Self(token)
    }
}

fn scopes(text: &str) -> Result<Vec<String>, String> {
    let scopes: Vec<String> = serde_json::from_str(text).map_err(|error| {
        format!("the hub's access scopes are not a JSON array of texts: {error}")
    })?;
    if scopes.is_empty() {
        return Err("the hub's access scopes are empty: no user could use the relay".to_owned());
    }
    Ok(scopes)
}

fn origin(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(Url::has_host)?;
    Some(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables of a managed service, as JupyterHub 6.1 sets them.
    fn managed(name: &str) -> Option<String> {
        let value = match name {
            "JUPYTERHUB_SERVICE_NAME" => "relay",
            "JUPYTERHUB_API_URL" => "http://127.0.0.1:8081/hub/api",
            "JUPYTERHUB_API_TOKEN" => "s3cret",
            "JUPYTERHUB_CLIENT_ID" => "service-relay",
            "JUPYTERHUB_OAUTH_CALLBACK_URL" => "/services/relay/oauth_callback",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES" => {
                r#"["access:services", "access:services!service=relay"]"#
            }
            "JUPYTERHUB_BASE_URL" => "/",
            "JUPYTERHUB_SERVICE_PREFIX" => "/services/relay/",
            "JUPYTERHUB_HOST" => "",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn a_managed_service_is_configured_by_its_variables() {
        let settings = HubSettings::of_service(managed);
        assert!(!format!("{settings:?}").contains("s3cret"));
        let hub = settings.validate().expect("valid").expect("a hub");
        assert_eq!(hub.authorize_url, "/hub/api/oauth2/authorize");
        assert_eq!(hub.redirect_uri, "/services/relay/oauth_callback");
        assert_eq!(hub.access_scopes[1], "access:services!service=relay");
        assert_eq!(hub.public_origin, None);
        let public = |name: &str| match name {
            "JUPYTERHUB_PUBLIC_HUB_URL" => Some("https://h.example/jh/hub/".to_owned()),
            name => managed(name),
        };
        let hub = HubSettings::of_service(public).validate().expect("valid").expect("a hub");
        assert_eq!(hub.authorize_url, "https://h.example/jh/hub/api/oauth2/authorize");
        assert_eq!(hub.public_origin.as_deref(), Some("https://h.example"));
    }

    #[test]
    fn a_relay_in_a_users_server_is_no_service() {
        let of_user = |name: &str| managed(name).filter(|_| name != "JUPYTERHUB_SERVICE_NAME");
        let settings = HubSettings::of_service(of_user);
        assert_eq!(settings, HubSettings::default());
        assert!(settings.validate().expect("no hub").is_none());
    }

    fn external() -> HubSettings {
        HubSettings {
            api_url: Some("https://h.example/hub/api/".to_owned()),
            api_token: Some(ApiToken::from("t".to_owned())),
            service_name: Some("relay".to_owned()),
            public_url: Some("https://h.example/".to_owned()),
            ..HubSettings::default()
        }
    }

    #[test]
    fn an_external_service_is_configured_by_flags() {
        let hub = external().validate().expect("valid").expect("a hub");
        assert_eq!(hub.api_url, "https://h.example/hub/api");
        assert_eq!(hub.redirect_uri, "https://h.example/services/relay/oauth_callback");
        assert_eq!(hub.client_id, "service-relay");
        assert_eq!(hub.access_scopes, ["access:services!service=relay"]);
    }

    #[test]
    fn a_setting_that_is_missing_or_wrong_is_named() {
        let wrong: [(&str, HubSettings); 7] = [
            ("--hub-token-file", HubSettings { api_token: None, ..external() }),
            ("--hub-api-url", HubSettings { api_url: None, ..external() }),
            ("--hub-api-url", HubSettings { api_url: Some("hub".into()), ..external() }),
            ("--hub-api-url", HubSettings { api_url: Some("http://u:p@h/".into()), ..external() }),
            ("--hub-service-name", HubSettings { service_name: None, ..external() }),
            ("scopes", HubSettings { access_scopes: Some("[]".into()), ..external() }),
            ("--hub-public-url", HubSettings { public_url: Some("h".into()), ..external() }),
        ];
        for (named, settings) in wrong {
            let error = settings.validate().expect_err(named);
            assert!(error.contains(named), "{error}");
        }
    }
}
