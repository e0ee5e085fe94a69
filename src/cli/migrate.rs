//! `progress-relay migrate`: applies the migrations of this release to the database.

use clap::Args as ClapArgs;
use clap::builder::BoolishValueParser;

use super::flags::database::DatabaseFlags;
use super::output::print;
use crate::database::Connector;
use crate::error::Failure;
use crate::migrate;

/// Apply the missing migrations to the database.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseFlags,
    /// Also renew the log's epoch, so that every earlier cursor is answered with a reset: a step of
    /// restoring a backup, before the first relay starts on it
    #[arg(long, env = "RELAY_NEW_EPOCH", value_parser = BoolishValueParser::new())]
    new_epoch: bool,
}

/// Applies the missing migrations and prints their names.
///
/// # Errors
/// If the database cannot be reached, refuses a migration, or is too new.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let new_epoch = args.new_epoch;
    let work = async |connector: &Connector| apply(connector, new_epoch).await;
    args.database.validate()?.with_connector("migrate", work).await
}

async fn apply(connector: &Connector, new_epoch: bool) -> Result<(), Failure> {
    let applied = migrate::apply(connector).await?;
    if applied.is_empty() {
        print("the database is up to date")?;
    }
    for name in applied {
        print(&format!("applied {name}"))?;
    }
    if new_epoch {
        let epoch = migrate::new_epoch(connector).await?;
        print(&format!("the epoch is now {epoch}: every earlier cursor will be reset"))?;
    }
    Ok(())
}
