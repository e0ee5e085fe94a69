//! `progress-relay migrate`: brings the database up to this release.

use clap::Args as ClapArgs;
use clap::builder::BoolishValueParser;

use super::flags::database::DatabaseFlags;
use crate::error::Failure;
use crate::migrate;
use crate::store::Connector;

/// Apply what is missing of sql/ to the database.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseFlags,
    /// Renew the log's epoch as well, so that every cursor given out before is answered with a
    /// reset: a step of restoring a backup, before the first relay starts on it
    #[arg(long, env = "RELAY_NEW_EPOCH", value_parser = BoolishValueParser::new())]
    new_epoch: bool,
}

/// Applies the migrations and says which.
///
/// # Errors
/// If the database cannot be reached, or refuses, or is too new.
pub async fn run(args: Args) -> Result<(), Failure> {
    let new_epoch = args.new_epoch;
    let work = async |connector: &Connector| apply(connector, new_epoch).await;
    args.database.validate()?.with_connector("migrate", work).await
}

async fn apply(connector: &Connector, new_epoch: bool) -> Result<(), Failure> {
    let applied = migrate::apply(connector).await?;
    if applied.is_empty() {
        super::print("the database is up to date")?;
    }
    for name in applied {
        super::print(&format!("applied {name}"))?;
    }
    if new_epoch {
        let epoch = migrate::new_epoch(connector).await?;
        super::print(&format!(
            "the epoch is now {epoch}: every cursor given out before will be reset"
        ))?;
    }
    Ok(())
}
