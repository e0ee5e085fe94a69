//! The flags of a JupyterHub whose users call. A service that the hub starts needs none of them: it
//! has the hub's variables.

use std::path::PathBuf;

use clap::Args;

use crate::access::{ApiToken, GroupRules, HubConfig, HubSettings};
use crate::error::Failure;

/// The JupyterHub of which the relay is a service.
#[derive(Debug, Args)]
#[command(next_help_heading = "JupyterHub")]
pub(in crate::cli) struct HubFlags {
    /// The hub's API, as the relay reaches it: http://HOST:8081/hub/api. In a service that the hub
    /// has started (it has set JUPYTERHUB_SERVICE_NAME), this and the other settings of the hub
    /// come from the hub's own variables, JUPYTERHUB_…
    #[arg(long, env = "RELAY_HUB_API_URL", value_name = "URL")]
    hub_api_url: Option<String>,
    /// The file of the service's token: the api_token that the hub's configuration has for the
    /// relay
    #[arg(long, env = "RELAY_HUB_TOKEN_FILE", value_name = "FILE")]
    hub_token_file: Option<PathBuf>,
    /// The name that the hub's configuration has for the relay
    #[arg(long, env = "RELAY_HUB_SERVICE_NAME", value_name = "NAME")]
    hub_service_name: Option<String>,
    /// The hub as browsers reach it: https://HOST/
    #[arg(long, env = "RELAY_HUB_PUBLIC_URL", value_name = "URL")]
    hub_public_url: Option<String>,
    /// The address to which the hub sends a browser that has signed in back: the
    /// oauth_redirect_uri that the hub's configuration has for the relay [default:
    /// /services/NAME/oauth_callback at the hub]
    #[arg(long, env = "RELAY_HUB_CALLBACK_URL", value_name = "URL")]
    hub_callback_url: Option<String>,
    /// The relay's OAuth client at the hub [default: service-NAME]
    #[arg(long, env = "RELAY_HUB_CLIENT_ID", value_name = "ID")]
    hub_client_id: Option<String>,
    /// A scope that lets its owner use the relay. May be given several times [default:
    /// access:services!service=NAME]
    #[arg(long, env = "RELAY_HUB_ACCESS_SCOPE", value_name = "SCOPE", value_delimiter = ',')]
    hub_access_scope: Vec<String>,
    /// Authorities beside the system's that may have signed the certificate of the hub's API, as a
    /// PEM file
    #[arg(long, env = "RELAY_HUB_CA", value_name = "FILE")]
    hub_ca: Option<PathBuf>,
}

impl HubFlags {
    /// The settings of these flags, then of the hub's variables.
    ///
    /// # Errors
    /// If the token's file cannot be read.
    pub(in crate::cli) fn settings(&self) -> Result<HubSettings, Failure> {
        let api_token = match &self.hub_token_file {
            None => None,
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    Failure::usage(format!("--hub-token-file {}: {error}", file.display()))
                })?;
                Some(ApiToken::from(text.trim().to_owned()))
            }
        };
        let flags = HubSettings {
            api_url: self.hub_api_url.clone(),
            api_token,
            service_name: self.hub_service_name.clone(),
            client_id: self.hub_client_id.clone(),
            callback_url: self.hub_callback_url.clone(),
            access_scopes: (!self.hub_access_scope.is_empty())
                .then(|| serde_json::Value::from(self.hub_access_scope.clone()).to_string()),
            public_url: self.hub_public_url.clone(),
            service_prefix: None,
            authorities: self.hub_ca.clone(),
        };
        Ok(flags.or(HubSettings::of_service(|name| std::env::var(name).ok())))
    }

    /// The hub of these settings.
    ///
    /// # Errors
    /// Names the setting that is missing or wrong; or says that no group makes anyone anything.
    pub(in crate::cli) fn validate(
        &self,
        settings: HubSettings,
        rules: &GroupRules,
    ) -> Result<Option<HubConfig>, Failure> {
        let hub = settings.validate().map_err(Failure::usage)?;
        if hub.is_some() && rules.is_empty() {
            return Err(Failure::usage(
                "the users of a JupyterHub get their rights by their groups: give --instructors, \
                 --students or --operators, as in --instructors 'instructors-{class}' --students \
                 '{class}'",
            ));
        }
        Ok(hub)
    }
}
