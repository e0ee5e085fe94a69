//! Reading a class's snapshot.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{TryStreamExt, future};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, IsolationLevel, Row, RowStream, Transaction};

use super::tables::{TABLES, Table};
use crate::event::{ClassId, Epoch, json};
use crate::store::keeping::LogVersion;
use crate::store::rows::{
    Cell, CellRow, ClassRow, LastRun, Minute, Runs, RunsRow, Snapshot, Student, StudentRow,
};
use crate::store::types::{PgMicros, RawJson};

/// The statements that read, for a test of their plans: `$1` is the class.
pub fn select_statements() -> Vec<String> {
    std::iter::once(select_class()).chain(TABLES.iter().map(|table| table.select())).collect()
}

/// A class's snapshot, and what it was read under.
#[derive(Debug)]
pub struct StoredSnapshot {
    /// Its rows; empty if there is none.
    pub snapshot: Snapshot,
    /// How far the class's own row goes, if there is one that counts.
    pub standing: Option<i64>,
    /// The log at the moment of reading.
    pub version: LogVersion,
}

/// A snapshot counts only with the nonce under which it was made. Always one row: a class without a
/// snapshot has no event up to the id that holds for all. That id may lie beyond the class's own,
/// and then the greater one is right: whoever wrote it had every class's row written up to its last
/// event before, and a row never goes back under one nonce, so there is no event of the class
/// between the two.
fn select_class() -> String {
    "SELECT greatest(kept.through_id, overall.through_id, 0), coalesce(events, 0), \
     coalesce(students, 0), \
            last_received_at, coalesce(last_event_id, 0), \
            kept.through_id, progress_epoch(progress_log.nonce), progress_log.deletions \
     FROM progress_log \
     LEFT JOIN state_through AS overall ON overall.nonce = progress_log.nonce \
     LEFT JOIN class_state AS kept ON kept.class_id = $1 AND kept.nonce = progress_log.nonce"
        .to_owned()
}

/// A transaction that reads, all of it as of one moment.
///
/// # Errors
/// The database's.
pub async fn at_one_moment(client: &mut Client) -> Result<Transaction<'_>, Error> {
    client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
}

/// Reads a class's snapshot, all tables as of one moment; `None` if `progress_log` is empty.
///
/// # Errors
/// The database's.
pub async fn read_snapshot(
    client: &mut Client,
    class: &ClassId,
) -> Result<Option<StoredSnapshot>, Error> {
    let transaction = at_one_moment(client).await?;
    let snapshot = read_in(&transaction, class).await?;
    transaction.commit().await?;
    Ok(snapshot)
}

/// The same, within a transaction of the caller's.
///
/// # Errors
/// The database's.
pub async fn read_in(
    transaction: &Transaction<'_>,
    class: &ClassId,
) -> Result<Option<StoredSnapshot>, Error> {
    let class = class.as_str();
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&class, Type::TEXT)];
    let select = select_class();
    let [students, cells, runs, minutes] = TABLES.map(Table::select);
    // Sent one after the other without waiting; answered in that order, in the same snapshot.
    let (class, students, cells, pairs, minutes) = future::try_join5(
        transaction.query_typed(&select, &parameters),
        transaction.query_typed(&students, &parameters),
        transaction.query_typed(&cells, &parameters),
        async { all_pairs(transaction.query_typed_raw(&runs, parameters.clone()).await?).await },
        transaction.query_typed(&minutes, &parameters),
    )
    .await?;
    let Some(row) = class.first() else { return Ok(None) };
    let version = LogVersion { epoch: Epoch::new(row.try_get(6)?), deletions: row.try_get(7)? };
    let (class, standing) = (class_row(row)?, row.try_get::<_, Option<i64>>(5)?);
    let mut snapshot = Snapshot { class, ..Snapshot::default() };
    // The rows of a snapshot of another nonce count for nothing.
    if standing.is_some() {
        snapshot.students = students.iter().map(student).collect::<Result<_, _>>()?;
        snapshot.cells = cells.iter().map(cell).collect::<Result<_, _>>()?;
        snapshot.runs = pairs;
        snapshot.minutes = minutes.iter().map(minute).collect::<Result<_, _>>()?;
    }
    Ok(Some(StoredSnapshot { snapshot, standing, version }))
}

fn class_row(row: &Row) -> Result<ClassRow, Error> {
    Ok(ClassRow {
        through: row.try_get(0)?,
        events: row.try_get(1)?,
        students: row.try_get(2)?,
        last_received_at: opt_time(row, 3)?,
        last_event: row.try_get(4)?,
    })
}

fn time(row: &Row, at: usize) -> Result<i64, Error> {
    // What anyone may have written there must not overflow later.
    row.try_get::<_, PgMicros>(at).map(|time| time.0.in_years().0)
}

fn opt_time(row: &Row, at: usize) -> Result<Option<i64>, Error> {
    row.try_get::<_, Option<PgMicros>>(at).map(|time| time.map(|time| time.0.in_years().0))
}

fn student(row: &Row) -> Result<StudentRow, Error> {
    let last_run = match (opt_time(row, 18)?, opt_time(row, 19)?) {
        (Some(at), Some(received_at)) => Some(LastRun {
            session_id: row.try_get(14)?,
            notebook_path: row.try_get(15)?,
            cell_id: row.try_get(16)?,
            execution_count: row.try_get(17)?,
            at,
            received_at,
        }),
        _ => None,
    };
    let student = Student {
        user_name: row.try_get(2)?,
        team_name: row.try_get(3)?,
        notebook_path: row.try_get(4)?,
        cell_id: row.try_get(5)?,
        cell_index: row.try_get(6)?,
        last_event_type: row.try_get(7)?,
        last_event_time: time(row, 8)?,
        last_received_at: time(row, 9)?,
        cells_executed: row.try_get(10)?,
        error_count: row.try_get(11)?,
        consecutive_errors: row.try_get(12)?,
        streak_cell: row.try_get(13)?,
        last_run,
        help_since: opt_time(row, 20)?,
        last_help_at: opt_time(row, 21)?,
        hand_closed: row.try_get(22)?,
        hand_lowered_at: opt_time(row, 23)?,
    };
    Ok((row.try_get(0)?, row.try_get(1)?, student))
}

fn cell(row: &Row) -> Result<CellRow, Error> {
    let messages = row.try_get::<_, RawJson<'_>>(8)?.0;
    let messages = json::elements(messages).filter_map(|pair| {
        let mut pair = json::elements(pair);
        let message = json::decode(pair.next()?).into();
        Some((message, pair.next()?.parse().ok()?))
    });
    let cell = Cell {
        cell_index: row.try_get(3)?,
        runs: row.try_get(4)?,
        failed_runs: row.try_get(5)?,
        students: row.try_get(6)?,
        failing_students: row.try_get(7)?,
        messages: messages.collect(),
    };
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, cell))
}

/// There are many of these, with few names between them: each row is let go of as it comes, and a
/// name is held once.
async fn all_pairs(rows: RowStream) -> Result<Vec<RunsRow>, Error> {
    let mut rows = std::pin::pin!(rows);
    let (mut pairs, mut names) = (Vec::new(), HashSet::new());
    while let Some(row) = rows.try_next().await? {
        let mut name = |at: usize| -> Result<Arc<str>, Error> {
            let text: &str = row.try_get(at)?;
            if let Some(name) = names.get(text) {
                return Ok(Arc::clone(name));
            }
            let name: Arc<str> = text.into();
            names.insert(Arc::clone(&name));
            Ok(name)
        };
        let (student, notebook, id) = (name(0)?, name(1)?, name(2)?);
        let runs = Runs {
            runs: row.try_get(4)?,
            failed_runs: row.try_get(5)?,
            failed: row.try_get(6)?,
            at: time(&row, 7)?,
        };
        pairs.push((student, notebook, id, row.try_get(3)?, runs));
    }
    Ok(pairs)
}

fn minute(row: &Row) -> Result<(i64, Minute), Error> {
    Ok((
        time(row, 0)?,
        Minute { runs: row.try_get(1)?, errors: row.try_get(2)?, help: row.try_get(3)? },
    ))
}
