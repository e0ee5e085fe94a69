//! `progress-relay rebuild-state`: computes the snapshots of class state again from the events.

use std::time::Instant;

use clap::Args as ClapArgs;
use clap::builder::BoolishValueParser;

use super::flags::database::DatabaseFlags;
use super::output::print;
use crate::database::{Connector, explain, naming_blockers};
use crate::error::Failure;
use crate::event::ClassId;
use crate::migrate;
use crate::state::{RebuildError, Rebuilder};

/// Compute the snapshots of class state again from the table, and report where they differed.
/// Relays may run meanwhile: they load the classes that differed again.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseFlags,
    /// Only this class; may be given several times
    #[arg(long, env = "RELAY_CLASS", value_name = "CLASS", value_delimiter = ',')]
    class: Vec<String>,
    /// Only compare: write nothing, and exit 1 if anything differs
    #[arg(long, env = "RELAY_CHECK", value_parser = BoolishValueParser::new())]
    check: bool,
}

/// Rebuilds the snapshots, and prints a line for each class.
///
/// # Errors
/// If the database cannot be reached; with `--check`, if a snapshot differs.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let classes = args.class.iter().map(|class| {
        ClassId::new(class).map_err(|error| Failure::usage(format!("--class {class:?} {error}")))
    });
    let classes = classes.collect::<Result<Vec<_>, _>>()?;
    let check = args.check;
    let work = async |connector: &Connector| rebuild(connector, classes, check).await;
    args.database.validate()?.with_connector("rebuild-state", work).await
}

async fn rebuild(
    connector: &Connector,
    mut classes: Vec<ClassId>,
    check: bool,
) -> Result<(), Failure> {
    migrate::check(connector).await?;
    let failed = |error: tokio_postgres::Error| {
        Failure::new(format!("rebuilding state: {}", explain(&error)))
    };
    let unmade = |error: RebuildError| Failure::new(format!("rebuilding state: {error}"));
    let session = connector.connect("rebuild-state").await?;
    let pid = session.backend_pid;
    let mut rebuilder = Rebuilder::new(session).await.map_err(failed)?;
    if classes.is_empty() {
        classes = rebuilder.classes().await.map_err(failed)?;
    }
    let (mut differing, mut compared) = (0, 0);
    for (index, class) in classes.iter().enumerate() {
        let began = Instant::now();
        let work = rebuilder.rebuild(class, !check);
        let rebuilt = naming_blockers(connector, pid, work).await.map_err(unmade)?;
        let (events, elapsed) = (rebuilt.events, began.elapsed().as_secs_f32());
        let place = format!("{}/{}", index + 1, classes.len());
        compared += usize::from(rebuilt.compared);
        let verdict = match rebuilt.count {
            0 if !rebuilt.compared && check => "no snapshot yet: nothing was compared".to_owned(),
            0 if !rebuilt.compared => "there was no snapshot".to_owned(),
            0 => "no difference".to_owned(),
            count if check => format!("{count} rows differ"),
            count => format!("{count} rows differed and were rebuilt"),
        };
        print(&format!(
            "{place} class {class}: {events} events up to id {} in {elapsed:.1} s: {verdict}",
            rebuilt.through
        ))?;
        for difference in &rebuilt.differences {
            print(&format!("  {difference}"))?;
        }
        if rebuilt.count > rebuilt.differences.len() {
            print(&format!("  and {} more", rebuilt.count - rebuilt.differences.len()))?;
        }
        differing += usize::from(rebuilt.count > 0);
    }
    if check && differing > 0 {
        return Err(Failure::new(format!(
            "the snapshots of {differing} of {} classes differ from the events; without --check \
             they are rebuilt",
            classes.len()
        )));
    }
    if check && compared == 0 {
        if classes.is_empty() {
            return Err(Failure::new(
                "nothing was compared: no class has events or a snapshot; do the database and the \
                 schema of the connection string hold this installation?",
            ));
        }
        return Err(Failure::new(format!(
            "nothing was compared: none of {} classes has a snapshot under the current epoch; a \
             running relay writes them within seconds, and this command does without --check",
            classes.len()
        )));
    }
    Ok(())
}
