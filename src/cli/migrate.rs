//! `progress-relay migrate`: brings the database up to this release.

use std::time::Duration;

use clap::Args as ClapArgs;
use clap::builder::BoolishValueParser;

use super::database::{DatabaseArgs, private_options};
use crate::config::Database;
use crate::embedded::PrivatePostgres;
use crate::error::Failure;
use crate::migrate;
use crate::store::Connector;

/// How long the private PostgreSQL may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Apply what is missing of sql/ to the database.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Renew the log's epoch as well, so that every cursor given out before is answered with a reset: a step of restoring
    /// a backup, before the first relay starts on it
    #[arg(long, env = "RELAY_NEW_EPOCH", value_parser = BoolishValueParser::new())]
    new_epoch: bool,
}

/// Applies the migrations and says which.
///
/// # Errors
/// If the database cannot be reached, or refuses, or is too new.
pub async fn run(args: Args) -> Result<(), Failure> {
    match args.database.database()? {
        Database::External(urls) => apply(&urls.direct, args.new_epoch).await,
        Database::Private(folder) => {
            let owner = format!("progress-relay migrate, pid {}", std::process::id());
            let private = PrivatePostgres::join_or_start(private_options(folder), &owner).await?;
            let applied = apply(&Connector::new(private.config()), args.new_epoch).await;
            private.stop(STOP_PATIENCE).await?;
            applied
        }
    }
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
        super::print(&format!("the epoch is now {epoch}: every cursor given out before will be reset"))?;
    }
    Ok(())
}
