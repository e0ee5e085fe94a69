//! The flags that say where to listen, and who may connect.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::access;
use crate::error::Failure;
use crate::http::{OriginPolicy, TlsFiles};

/// Who may connect.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(in crate::cli) struct AccessFlags {
    /// Where to listen; port 0 takes a free one. Beyond loopback it needs a source of callers, such
    /// as --jwt-secret-file, or --insecure
    #[arg(long, env = "RELAY_BIND", value_name = "ADDR:PORT", default_value = "127.0.0.1:8000")]
    bind: SocketAddr,
    /// Where operators find /metrics, /healthz and /readyz, without TLS and without signing in, in
    /// a network that only they reach. /metrics is then there alone
    #[arg(long, env = "RELAY_ADMIN_BIND", value_name = "ADDR:PORT")]
    admin_bind: Option<SocketAddr>,
    /// The certificate by which the relay itself speaks TLS, and those that follow it up to its
    /// authority, as a PEM file. Read again on SIGHUP
    #[arg(long, env = "RELAY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of --tls-cert, as a PEM file
    #[arg(long, env = "RELAY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
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
    /// The address of the listener for operators.
    pub(in crate::cli) fn admin_bind(&self) -> Option<SocketAddr> {
        self.admin_bind
    }

    /// The certificate of the relay itself.
    pub(in crate::cli) fn tls(&self) -> Option<TlsFiles> {
        let (certificate, key) = (self.tls_cert.clone()?, self.tls_key.clone()?);
        Some(TlsFiles { certificate, key })
    }

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
        if access.revoked.is_some() && !access.has_source() {
            return Err(Failure::usage(
                "--revoked is of no use without a source of callers, such as --jwt-secret-file",
            ));
        }
        let of_hub = access.hub.as_ref().and_then(|hub| hub.public_origin.clone());
        let origins: Vec<_> = self.allow_origin.iter().cloned().chain(of_hub).collect();
        let origins = OriginPolicy::new(self.bind, &origins)
            .map_err(|wrong| Failure::usage(format!("--allow-origin: {wrong}")))?;
        Ok((self.bind, origins))
    }
}
