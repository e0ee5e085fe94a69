//! `progress-relay serve`: the relay. The flags become the parts' configuration, validated once.

use clap::Args as ClapArgs;

use super::flags::access::AccessFlags;
use super::flags::database::DatabaseFlags;
use super::flags::edge::EdgeFlags;
use super::flags::groups::GroupFlags;
use super::flags::hub::HubFlags;
use super::flags::identity::IdentityFlags;
use super::flags::lifecycle::LifecycleFlags;
use super::flags::limits::LimitFlags;
use super::flags::rates::RateFlags;
use super::flags::retention::RetentionFlags;
use super::open_files::raise_file_limit;
use super::output::print;
use crate::access;
use crate::error::Failure;
use crate::relay::{self, Config};

/// Run the relay: store what students POST, push it to every dashboard.
#[derive(Debug, ClapArgs)]
// A value such as -1 is then an error of the flag before it, not an unknown flag.
#[command(allow_negative_numbers = true)]
pub(super) struct Args {
    #[command(flatten)]
    access: AccessFlags,
    #[command(flatten)]
    identity: IdentityFlags,
    #[command(flatten)]
    hub: HubFlags,
    #[command(flatten)]
    groups: GroupFlags,
    #[command(flatten)]
    edge: EdgeFlags,
    #[command(flatten)]
    database: DatabaseFlags,
    #[command(flatten)]
    rates: RateFlags,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    retention: RetentionFlags,
    #[command(flatten)]
    lifecycle: LifecycleFlags,
}

impl Args {
    fn config(&self) -> Result<Config, Failure> {
        let settings = self.hub.settings()?;
        let hub_path = settings.service_prefix.clone();
        let sources = self.edge.with_users(self.identity.validate()?, self.groups.rules())?;
        let hub = self.hub.validate(settings, &sources.groups)?;
        let access = access::Config { hub, ..sources };
        let (bind, origins) = self.access.validate(&access)?;
        Ok(Config {
            bind,
            admin_bind: self.access.admin_bind(),
            tls: self.access.tls(),
            access,
            database: self.database.validate()?,
            start: self.lifecycle.start(),
            http: self
                .limits
                .http(origins, self.edge.validate(self.rates.config(), hub_path.as_deref())?),
            writer: self.limits.writer(),
            log_memory: self.limits.log_memory(),
            housekeeping: self.retention.housekeeping(),
            stop: self.lifecycle.stop(),
        })
    }
}

/// Serves until a signal ends it.
///
/// # Errors
/// If a flag is wrong, or the relay cannot start, or a critical task panicked.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config()?;
    raise_file_limit();
    relay::run(config, |url| print(&format!("listening on {url}"))).await
}
