//! The flags that say where to listen, and who may connect.

use std::net::SocketAddr;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::access;
use crate::error::Failure;
use crate::http::OriginPolicy;

/// Who may connect.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(in crate::cli) struct AccessFlags {
    /// Where to listen; port 0 takes a free one. Beyond loopback it needs a source of callers, such
    /// as --jwt-secret-file, or --insecure
    #[arg(long, env = "RELAY_BIND", value_name = "ADDR:PORT", default_value = "127.0.0.1:8000")]
    bind: SocketAddr,
    /// An origin whose pages may read and open WebSockets, as browsers write it: https://HOST; its
    /// host is then a host name of the relay. May be given several times
    #[arg(long, env = "RELAY_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<String>,
    /// Listen beyond loopback without a source of callers, although anyone who reaches the port may
    /// then read and write
    #[arg(long, env = "RELAY_INSECURE", value_parser = BoolishValueParser::new())]
    insecure: bool,
}

impl AccessFlags {
    /// The address to listen on, and the hosts and origins that may read. The sources
    /// of callers are `access`.
    ///
    /// # Errors
    /// Names the flag: an open relay beyond loopback without `--insecure`, or an origin that is
    /// none.
    pub(in crate::cli) fn validate(
        &self,
        access: &access::Config,
    ) -> Result<(SocketAddr, OriginPolicy), Failure> {
        if !access.has_source() && !self.bind.ip().is_loopback() && !self.insecure {
            return Err(Failure::usage(format!(
                "--bind {}: beyond loopback anyone who reaches the port may read and write, since \
                 no source says who calls: give --jwt-secret-file, --jwt-keys, --hub-api-url or \
                 --user-header; or say --insecure if that is wanted",
                self.bind
            )));
        }
        let of_hub = access.hub.as_ref().and_then(|hub| hub.public_origin.clone());
        let origins: Vec<_> = self.allow_origin.iter().cloned().chain(of_hub).collect();
        let origins = OriginPolicy::new(self.bind, &origins)
            .map_err(|wrong| Failure::usage(format!("--allow-origin: {wrong}")))?;
        Ok((self.bind, origins))
    }
}
