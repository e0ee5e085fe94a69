//! `progress-relay migrate`: applies the migrations of this release to the database.

use clap::Args as ClapArgs;
use clap::builder::BoolishValueParser;

use super::flags::database::DatabaseFlags;
use super::output::print;
use crate::database::{Connector, grant_privileges};
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
    /// Also grant ROLE, a user or a group, exactly what a running relay needs; may be given several
    /// times. Run it again after each release that has applied a migration: a start of the relay
    /// names the grants that are missing
    #[arg(long, env = "RELAY_GRANT", value_name = "ROLE", value_parser = role)]
    grant: Vec<String>,
}

/// A role that may be granted to. A grant to PUBLIC would let every role of the cluster write.
fn role(name: &str) -> Result<String, String> {
    if name.eq_ignore_ascii_case("public") {
        return Err("a relay's grants are not for PUBLIC: name the relay's role".to_owned());
    }
    Ok(name.to_owned())
}

/// Applies the missing migrations and prints their names, and the grants that it has made.
///
/// # Errors
/// If the database cannot be reached, refuses a migration, or is too new.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let (new_epoch, roles) = (args.new_epoch, args.grant);
    let work = async |connector: &Connector| apply(connector, new_epoch, &roles).await;
    args.database.validate()?.with_connector("migrate", work).await
}

async fn apply(connector: &Connector, new_epoch: bool, roles: &[String]) -> Result<(), Failure> {
    let applied = migrate::apply(connector).await?;
    if applied.is_empty() {
        print("the database is up to date")?;
    }
    for name in applied {
        print(&format!("applied {name}"))?;
    }
    if !roles.is_empty() {
        let granted = grant_privileges(connector, roles).await?;
        if granted.is_empty() {
            print("every grant was there already")?;
        }
        for grant in granted {
            print(&format!("{grant};"))?;
        }
    }
    if new_epoch {
        let epoch = migrate::new_epoch(connector).await?;
        print(&format!("the epoch is now {epoch}: every earlier cursor will be reset"))?;
    }
    Ok(())
}
