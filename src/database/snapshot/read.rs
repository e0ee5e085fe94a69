//! Reading a class's snapshot.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{TryStreamExt, future};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, IsolationLevel, Row, RowStream, Transaction};

use super::rows::{
    CellRow, ClassRow, LastRunColumns, LessonColumns, LessonRow, MinuteRow, Snapshot, StreakColumn,
    StudentCellRow, StudentRow, TopError,
};
use super::tables::{TABLES, Table};
use crate::database::log_version::LogVersion;
use crate::database::types::{PgMicros, RawJson};
use crate::event::{ClassId, Epoch, EventId, Micros, json, parse_rfc3339};

/// The statements that read, for a test of their plans: `$1` is the class.
pub fn select_statements() -> Vec<String> {
    std::iter::once(select_class()).chain(TABLES.iter().map(|table| table.select())).collect()
}

/// A class's snapshot as it was read.
#[derive(Debug)]
pub(crate) struct StoredSnapshot {
    /// Its rows; none if there is no snapshot.
    pub(crate) snapshot: Snapshot,
    /// Up to where the class's own row goes, if there is one that counts.
    pub(crate) row_through: Option<EventId>,
    /// The log at the moment of reading.
    pub(crate) version: LogVersion,
}

/// The statement returns one row in any case. A snapshot counts only with the nonce under which it
/// was made. A class without a snapshot has no event up to the id of `state_through`, which holds
/// for every class. That id may be greater than the class's own, and then it is the right one:
/// before it was written, every class's row was written up to the class's last event, and a row
/// never goes back under one nonce, so the class has no event between the two ids.
fn select_class() -> String {
    "SELECT greatest(stored.through_id, overall.through_id, 0), coalesce(events, 0), \
     coalesce(students, 0), \
            last_received_at, coalesce(last_event_id, 0), \
            stored.through_id, progress_epoch(progress_log.nonce), progress_log.deletions, \
            lesson_first_event_id, lesson_started_at, lesson_events_before, lesson_title, \
            coalesce(settings, '{}'), coalesce(settings_event_id, 0) \
     FROM progress_log \
     LEFT JOIN state_through AS overall ON overall.nonce = progress_log.nonce \
     LEFT JOIN class_state AS stored ON stored.class_id = $1 AND stored.nonce = progress_log.nonce"
        .to_owned()
}

/// Begins a transaction that only reads, all of it as of one moment.
///
/// # Errors
/// If the connection is lost.
pub(crate) async fn at_one_moment(client: &mut Client) -> Result<Transaction<'_>, Error> {
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
/// If it cannot be read.
pub(crate) async fn read_snapshot(
    client: &mut Client,
    class: &ClassId,
) -> Result<Option<StoredSnapshot>, Error> {
    let transaction = at_one_moment(client).await?;
    let snapshot = read_in(&transaction, class).await?;
    transaction.commit().await?;
    Ok(snapshot)
}

/// The same, within the caller's transaction.
///
/// # Errors
/// If it cannot be read.
pub(crate) async fn read_in(
    transaction: &Transaction<'_>,
    class: &ClassId,
) -> Result<Option<StoredSnapshot>, Error> {
    let class = class.as_str();
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&class, Type::TEXT)];
    let select = select_class();
    let [students, cells, student_cells, minutes, lessons] = TABLES.map(Table::select);
    // These are sent one after the other without waiting, and answered in that order.
    let (class, students, cells, student_cells, (minutes, lessons)) = future::try_join5(
        transaction.query_typed(&select, &parameters),
        transaction.query_typed(&students, &parameters),
        transaction.query_typed(&cells, &parameters),
        async {
            let rows = transaction.query_typed_raw(&student_cells, parameters.clone()).await?;
            student_cell_rows(rows).await
        },
        future::try_join(
            transaction.query_typed(&minutes, &parameters),
            transaction.query_typed(&lessons, &parameters),
        ),
    )
    .await?;
    let Some(row) = class.first() else { return Ok(None) };
    let version = LogVersion { epoch: Epoch::new(row.try_get(6)?), deletions: row.try_get(7)? };
    let (class, row_through) = (class_row(row)?, row.try_get::<_, Option<EventId>>(5)?);
    let mut snapshot = Snapshot { class, ..Snapshot::default() };
    // The rows of a snapshot of another nonce count for nothing.
    if row_through.is_some() {
        snapshot.students = students.iter().map(student_row).collect::<Result<_, _>>()?;
        snapshot.cells = cells.iter().map(cell_row).collect::<Result<_, _>>()?;
        snapshot.student_cells = student_cells;
        snapshot.minutes = minutes.iter().map(minute_row).collect::<Result<_, _>>()?;
        snapshot.lessons = lessons.iter().map(lesson_row).collect::<Result<_, _>>()?;
    }
    Ok(Some(StoredSnapshot { snapshot, row_through, version }))
}

fn class_row(row: &Row) -> Result<ClassRow, Error> {
    let lesson = match (row.try_get(8)?, opt_time(row, 9)?, row.try_get(10)?) {
        (Some(first_event), Some(started_at), Some(events_before)) => {
            let title = row.try_get(11)?;
            Some(LessonColumns { first_event, started_at, events_before, title })
        }
        _ => None,
    };
    Ok(ClassRow {
        lesson,
        settings: row.try_get::<_, RawJson<'_>>(12)?.0.into(),
        settings_event: row.try_get(13)?,
        through: row.try_get(0)?,
        events: row.try_get(1)?,
        students: row.try_get(2)?,
        last_received_at: opt_time(row, 3)?,
        last_event: row.try_get(4)?,
    })
}

/// A time. Anyone may have written any time there: arithmetic with it must not overflow later.
fn time(row: &Row, at: usize) -> Result<Micros, Error> {
    row.try_get::<_, PgMicros>(at).map(|time| time.0.in_years())
}

fn opt_time(row: &Row, at: usize) -> Result<Option<Micros>, Error> {
    row.try_get::<_, Option<PgMicros>>(at).map(|time| time.map(|time| time.0.in_years()))
}

fn student_row(row: &Row) -> Result<StudentRow, Error> {
    let last_run = match (opt_time(row, 17)?, opt_time(row, 18)?) {
        (Some(at), Some(received_at)) => Some(LastRunColumns {
            session_id: row.try_get(13)?,
            notebook_path: row.try_get(14)?,
            cell_id: row.try_get(15)?,
            execution_count: row.try_get(16)?,
            at,
            received_at,
        }),
        _ => None,
    };
    Ok(StudentRow {
        student_id: row.try_get(0)?,
        last_event: row.try_get(1)?,
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
        streaks: json::elements(row.try_get::<_, RawJson<'_>>(12)?.0).filter_map(streak).collect(),
        last_run,
        help_since: opt_time(row, 19)?,
        last_help_at: opt_time(row, 20)?,
        hand_closed: row.try_get(21)?,
        hand_lowered_at: opt_time(row, 22)?,
        is_here: row.try_get(23)?,
        is_unconfigured: row.try_get(24)?,
        help_until_stop: row.try_get(25)?,
        claim: row.try_get::<_, Option<_>>(26)?.zip(opt_time(row, 27)?),
        help_message: row.try_get(28)?,
    })
}

fn streak(value: &str) -> Option<StreakColumn> {
    let text = |value: &str| value.starts_with('"').then(|| json::decode(value).into());
    let mut members = json::elements(value);
    Some(StreakColumn {
        notebook_path: text(members.next()?),
        cell_id: text(members.next()?),
        cell_index: members.next()?.parse().ok(),
        failures: members.next()?.parse().ok()?,
        failed_at: parse_rfc3339(&json::decode(members.next()?))?.in_years(),
    })
}

fn cell_row(row: &Row) -> Result<CellRow, Error> {
    let top_errors = row.try_get::<_, RawJson<'_>>(8)?.0;
    let top_errors = json::elements(top_errors).filter_map(|error| {
        let mut error = json::elements(error);
        let message = json::decode(error.next()?).into();
        Some(TopError { message, count: error.next()?.parse().ok()? })
    });
    Ok(CellRow {
        notebook_path: row.try_get(0)?,
        cell_id: row.try_get(1)?,
        last_event: row.try_get(2)?,
        cell_index: row.try_get(3)?,
        runs: row.try_get(4)?,
        failed_runs: row.try_get(5)?,
        students: row.try_get(6)?,
        failing_students: row.try_get(7)?,
        top_errors: top_errors.collect(),
    })
}

/// There are many of these rows, with few names between them. Each row of the answer is dropped as
/// soon as it is read, and a name is stored once.
async fn student_cell_rows(rows: RowStream) -> Result<Vec<StudentCellRow>, Error> {
    let mut rows = std::pin::pin!(rows);
    let (mut student_cells, mut names) = (Vec::new(), HashSet::new());
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
        student_cells.push(StudentCellRow {
            student_id: name(0)?,
            notebook_path: name(1)?,
            cell_id: name(2)?,
            last_event: row.try_get(3)?,
            runs: row.try_get(4)?,
            failed_runs: row.try_get(5)?,
            failed: row.try_get(6)?,
            last_run_at: time(&row, 7)?,
            last_run_time: time(&row, 8)?,
            last_run_execution_count: row.try_get(9)?,
            last_run_session_id: row.try_get(10)?,
            last_run_event: row.try_get(11)?,
        });
    }
    Ok(student_cells)
}

fn minute_row(row: &Row) -> Result<MinuteRow, Error> {
    Ok(MinuteRow {
        start: time(row, 0)?,
        runs: row.try_get(1)?,
        errors: row.try_get(2)?,
        help: row.try_get(3)?,
    })
}

fn lesson_row(row: &Row) -> Result<LessonRow, Error> {
    Ok(LessonRow {
        first_event: row.try_get(0)?,
        last_event: row.try_get(1)?,
        started_at: time(row, 2)?,
        ended_at: time(row, 3)?,
        students: row.try_get(4)?,
        runs: row.try_get(5)?,
        title: row.try_get(6)?,
    })
}
