//! The flags that say what stands between the relay and its clients.

use clap::Args;

use crate::access::{self, GroupRules};
use crate::error::Failure;
use crate::http::{
    BasePath, Edge, Network, ProxyRules, RateConfig, SecurityHeaders, TrustedProxies, UserHeaders,
};

/// Proxies, and the page's place.
#[derive(Debug, Args)]
#[command(next_help_heading = "Behind a proxy")]
pub(in crate::cli) struct EdgeFlags {
    /// A proxy whose X-Forwarded-For, -Proto and -Host (or Forwarded) are believed: an address, or
    /// a network as 10.0.0.0/8. May be given several times
    ///
    /// From any other address these headers are ignored. The proxy must set or remove each of them.
    #[arg(long, env = "RELAY_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',')]
    trusted_proxy: Vec<Network>,
    /// The header in which a trusted proxy names the user that it has signed in: X-Forwarded-User,
    /// X-Auth-Request-User, REMOTE_USER. From any other address it is ignored
    #[arg(long, env = "RELAY_USER_HEADER", value_name = "NAME", requires = "trusted_proxy")]
    user_header: Option<String>,
    /// The header in which it names the user's groups, separated by commas or semicolons
    #[arg(long, env = "RELAY_GROUPS_HEADER", value_name = "NAME", requires = "user_header")]
    groups_header: Option<String>,
    /// The header in which it gives the user's name for people
    #[arg(long, env = "RELAY_USER_NAME_HEADER", value_name = "NAME", requires = "user_header")]
    user_name_header: Option<String>,
    /// The path below which every route lies, where a proxy shares its host among services and
    /// passes the path on as it is: /services/relay/ [default: JUPYTERHUB_SERVICE_PREFIX, else /]
    #[arg(long, env = "RELAY_BASE_PATH", value_name = "PATH")]
    base_path: Option<BasePath>,
    /// An origin whose pages may show the dashboard in a frame, as browsers write it: https://HOST,
    /// or `self`. May be given several times [default: none may]
    #[arg(long, env = "RELAY_FRAME_ANCESTORS", value_name = "ORIGIN", value_delimiter = ',')]
    frame_ancestors: Vec<String>,
}

impl EdgeFlags {
    /// What stands between the relay and its clients. `of_hub`: the path that a JupyterHub gives
    /// its service.
    ///
    /// # Errors
    /// Names the flag that cannot be used.
    pub(in crate::cli) fn validate(
        &self,
        rates: RateConfig,
        of_hub: Option<&str>,
    ) -> Result<Edge, Failure> {
        let user_headers = self.user_header.as_deref().map(|user| {
            let (groups, name) = (self.groups_header.as_deref(), self.user_name_header.as_deref());
            UserHeaders::new(user, groups, name).map_err(|wrong| {
                Failure::usage(format!(
                    "--user-header, --groups-header or --user-name-header: {wrong}"
                ))
            })
        });
        let trusted = TrustedProxies::new(self.trusted_proxy.clone());
        let security = SecurityHeaders::new(&self.frame_ancestors)
            .map_err(|wrong| Failure::usage(format!("--frame-ancestors: {wrong}")))?;
        let base_path = match (&self.base_path, of_hub) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) => path
                .parse()
                .map_err(|wrong| Failure::usage(format!("JUPYTERHUB_SERVICE_PREFIX: {wrong}")))?,
            (None, None) => BasePath::default(),
        };
        Ok(Edge {
            proxies: ProxyRules { trusted, user_headers: user_headers.transpose()? },
            rates,
            base_path,
            security,
        })
    }

    /// The sources of callers, with the users that a trusted proxy names.
    ///
    /// # Errors
    /// If users are named, and no group makes anyone anything.
    pub(in crate::cli) fn with_users(
        &self,
        sources: access::Config,
        groups: GroupRules,
    ) -> Result<access::Config, Failure> {
        let proxied = self.user_header.is_some();
        if proxied && (self.groups_header.is_none() || groups.is_empty()) {
            return Err(Failure::usage(
                "--user-header: the users of a proxy get their rights by their groups; give \
                 --groups-header, and --instructors, --students or --operators",
            ));
        }
        Ok(access::Config { proxied, groups, ..sources })
    }
}
