//! The flags that limit how often a caller, and an address, may ask.

use clap::Args;

use crate::http::{Network, Rate, RateConfig};

/// The limits of rates.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rates")]
pub(in crate::cli) struct RateFlags {
    /// Most requests of one student or instructor: a second, and at once; or `off`. Beyond it a
    /// POST is answered 503 and any other request 429, with Retry-After
    ///
    /// Too low: a student who runs a whole notebook waits. Too high: a program that runs wild takes
    /// others' share.
    #[arg(long, env = "RELAY_RATE_LIMIT_CALLER", value_name = "N:BURST", default_value = "20:60")]
    rate_limit_caller: Limit,
    /// Most requests from one address other than loopback, in the same way; those with a credential
    /// that was good lately are counted apart from all others
    ///
    /// Too low: a class behind one address is refused. Too high: one machine may keep the relay
    /// busy.
    #[arg(
        long,
        env = "RELAY_RATE_LIMIT_ADDRESS",
        value_name = "N:BURST",
        default_value = "1000:5000"
    )]
    rate_limit_address: Limit,
    /// Most wrong credentials from one address other than loopback, in the same way; beyond it only
    /// those that were good lately are looked at from there
    ///
    /// Too low: people who sign in for the first time are refused beside a few mistakes. Too high:
    /// each try costs the verification of a signature.
    #[arg(
        long,
        env = "RELAY_RATE_LIMIT_WRONG_CREDENTIALS",
        value_name = "N:BURST",
        default_value = "5:50"
    )]
    rate_limit_wrong_credentials: Limit,
    /// Addresses without limits of rates, as 10.0.0.0/8. May be given several times
    #[arg(long, env = "RELAY_TRUSTED_NETWORK", value_name = "CIDR", value_delimiter = ',')]
    trusted_network: Vec<Network>,
}

/// A rate; `None` is none.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<Rate>);

impl std::str::FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "off" => Ok(Self(None)),
            text => text.parse().map(|rate| Self(Some(rate))),
        }
    }
}

impl RateFlags {
    /// The limits.
    pub(in crate::cli) fn config(&self) -> RateConfig {
        RateConfig {
            caller: self.rate_limit_caller.0,
            address: self.rate_limit_address.0,
            wrong_credentials: self.rate_limit_wrong_credentials.0,
            trusted: self.trusted_network.clone(),
        }
    }
}
