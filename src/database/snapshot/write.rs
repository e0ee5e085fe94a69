//! Writing the changes of a class's snapshot.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, GenericClient, Statement};

use super::rows::{
    CellRow, Changes, ClassRow, LastRunColumns, LessonColumns, LessonRow, MinuteRow, StreakColumn,
    StudentCellRow, StudentRow, TopError,
};
use super::tables::{TABLES, Table};
use crate::database::types::{PgMicros, RawJson};
use crate::event::{ClassId, json};

/// Rows of one statement; further rows go into another, in the same transaction.
const STATEMENT_ROWS: usize = 2_000;

/// The statements that write snapshots, prepared on one connection.
#[derive(Debug)]
pub(crate) struct SnapshotStatements {
    class: Statement,
    /// By table.
    upserts: [Statement; TABLES.len()],
    deletes: [Statement; TABLES.len()],
}

impl SnapshotStatements {
    /// Prepares the statements on a connection.
    ///
    /// # Errors
    /// If the connection is lost, or the tables are not those of this release.
    pub(crate) async fn prepare(client: &Client) -> Result<Self, Error> {
        const CLASS_UPSERT: &str = "\
            INSERT INTO class_state (class_id, through_id, events, students, last_received_at, \
            last_event_id, lesson_first_event_id, lesson_started_at, lesson_events_before, \
            lesson_title, settings, settings_event_id, nonce) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
            ON CONFLICT (class_id) DO UPDATE SET (through_id, events, students, last_received_at, \
            last_event_id, lesson_first_event_id, lesson_started_at, lesson_events_before, \
            lesson_title, settings, settings_event_id, nonce, updated_at) = \
            ROW(EXCLUDED.through_id, EXCLUDED.events, EXCLUDED.students, \
            EXCLUDED.last_received_at, EXCLUDED.last_event_id, EXCLUDED.lesson_first_event_id, \
            EXCLUDED.lesson_started_at, EXCLUDED.lesson_events_before, EXCLUDED.lesson_title, \
            EXCLUDED.settings, EXCLUDED.settings_event_id, EXCLUDED.nonce, clock_timestamp())";
        let class = client.prepare(CLASS_UPSERT).await?;
        let upserts = prepared(client, TABLES.map(Table::upsert)).await?;
        let deletes = prepared(client, TABLES.map(Table::delete)).await?;
        Ok(Self { class, upserts, deletes })
    }

    /// Writes a class's changes and its new id in `transaction`, one of this connection's, under a
    /// nonce that it holds: see [`hold_log`](crate::database::hold_log).
    ///
    /// # Errors
    /// If a statement fails: then the transaction must not be committed.
    pub(crate) async fn write(
        &self,
        transaction: &impl GenericClient,
        nonce: &str,
        class: &ClassId,
        changes: &Changes,
    ) -> Result<(), Error> {
        let name = class.as_str();
        self.upsert_class(transaction, nonce, name, &changes.rows.class).await?;
        if changes.whole {
            for table in TABLES {
                // A constant's name, no value.
                let delete = format!("DELETE FROM {} WHERE class_id = $1", table.name);
                transaction.execute(&delete, &[&name]).await?;
            }
        }
        self.delete(transaction, name, changes).await?;
        let [students, cells, student_cells, minutes, lessons] = &self.upserts;
        for rows in changes.rows.students.chunks(STATEMENT_ROWS) {
            upsert_students(transaction, students, name, rows).await?;
        }
        for rows in changes.rows.cells.chunks(STATEMENT_ROWS) {
            upsert_cells(transaction, cells, name, rows).await?;
        }
        for rows in changes.rows.student_cells.chunks(STATEMENT_ROWS) {
            upsert_student_cells(transaction, student_cells, name, rows).await?;
        }
        upsert_minutes(transaction, minutes, name, &changes.rows.minutes).await?;
        upsert_lessons(transaction, lessons, name, &changes.rows.lessons).await
    }

    async fn upsert_class(
        &self,
        transaction: &impl GenericClient,
        nonce: &str,
        name: &str,
        row: &ClassRow,
    ) -> Result<(), Error> {
        let lesson = row.lesson.as_ref();
        let received = row.last_received_at.map(PgMicros);
        let parameters: [&(dyn ToSql + Sync); 13] = [
            &name,
            &row.through,
            &row.events,
            &row.students,
            &received,
            &row.last_event,
            &lesson.map(|lesson| lesson.first_event),
            &lesson.map(|lesson| PgMicros(lesson.started_at)),
            &lesson.map(|lesson| lesson.events_before),
            &lesson.and_then(|lesson: &LessonColumns| lesson.title.as_deref()),
            &RawJson(&row.settings),
            &row.settings_event,
            &nonce,
        ];
        transaction.execute(&self.class, &parameters).await.map(drop)
    }

    async fn delete(
        &self,
        transaction: &impl GenericClient,
        name: &str,
        changes: &Changes,
    ) -> Result<(), Error> {
        let [students, cells, student_cells, minutes, lessons] = &self.deletes;
        let deleted = column(&changes.deleted_students, |student| &**student);
        if !deleted.is_empty() {
            transaction.execute(students, &[&name, &deleted]).await?;
        }
        let deleted = &changes.deleted_cells;
        if !deleted.is_empty() {
            let notebooks = column(deleted, |key| &*key.notebook_path);
            let ids = column(deleted, |key| &*key.cell_id);
            transaction.execute(cells, &[&name, &notebooks, &ids]).await?;
        }
        let deleted = &changes.deleted_student_cells;
        if !deleted.is_empty() {
            let students = column(deleted, |key| &*key.student_id);
            let notebooks = column(deleted, |key| &*key.notebook_path);
            let ids = column(deleted, |key| &*key.cell_id);
            transaction.execute(student_cells, &[&name, &students, &notebooks, &ids]).await?;
        }
        let deleted = column(&changes.deleted_minutes, |&start| PgMicros(start));
        if !deleted.is_empty() {
            transaction.execute(minutes, &[&name, &deleted]).await?;
        }
        let deleted = &changes.deleted_lessons;
        if !deleted.is_empty() {
            transaction.execute(lessons, &[&name, deleted]).await?;
        }
        Ok(())
    }
}

/// Prepares a statement for each table.
async fn prepared(
    client: &Client,
    statements: [String; TABLES.len()],
) -> Result<[Statement; TABLES.len()], Error> {
    let [students, cells, student_cells, minutes, lessons] = &statements;
    Ok([
        client.prepare(students).await?,
        client.prepare(cells).await?,
        client.prepare(student_cells).await?,
        client.prepare(minutes).await?,
        client.prepare(lessons).await?,
    ])
}

/// A column of some rows, as the array that a statement takes.
fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

async fn upsert_students(
    transaction: &impl GenericClient,
    statement: &Statement,
    class: &str,
    rows: &[StudentRow],
) -> Result<(), Error> {
    fn run<'a, T>(row: &'a StudentRow, of: impl Fn(&'a LastRunColumns) -> Option<T>) -> Option<T> {
        row.last_run.as_ref().and_then(of)
    }
    let streaks: Vec<String> = column(rows, |row| streaks_json(&row.streaks));
    let parameters: [&(dyn ToSql + Sync); 30] = [
        &class,
        &column(rows, |row| &*row.student_id),
        &column(rows, |row| row.last_event),
        &column(rows, |row| row.user_name.as_deref()),
        &column(rows, |row| row.team_name.as_deref()),
        &column(rows, |row| row.notebook_path.as_deref()),
        &column(rows, |row| row.cell_id.as_deref()),
        &column(rows, |row| row.cell_index),
        &column(rows, |row| row.last_event_type.as_deref()),
        &column(rows, |row| PgMicros(row.last_event_time)),
        &column(rows, |row| PgMicros(row.last_received_at)),
        &column(rows, |row| row.cells_executed),
        &column(rows, |row| row.error_count),
        &column(&streaks, |text| RawJson(text)),
        &column(rows, |row| run(row, |run| run.session_id.as_deref())),
        &column(rows, |row| run(row, |run| run.notebook_path.as_deref())),
        &column(rows, |row| run(row, |run| run.cell_id.as_deref())),
        &column(rows, |row| run(row, |run| run.execution_count)),
        &column(rows, |row| run(row, |run| Some(PgMicros(run.at)))),
        &column(rows, |row| run(row, |run| Some(PgMicros(run.received_at)))),
        &column(rows, |row| row.help_since.map(PgMicros)),
        &column(rows, |row| row.last_help_at.map(PgMicros)),
        &column(rows, |row| row.hand_closed),
        &column(rows, |row| row.hand_lowered_at.map(PgMicros)),
        &column(rows, |row| row.is_here),
        &column(rows, |row| row.is_unconfigured),
        &column(rows, |row| row.help_until_stop),
        &column(rows, |row| row.claim.as_ref().map(|(by, _)| &**by)),
        &column(rows, |row| row.claim.as_ref().map(|&(_, at)| PgMicros(at))),
        &column(rows, |row| row.help_message.as_deref()),
    ];
    transaction.execute(statement, &parameters).await.map(drop)
}

async fn upsert_cells(
    transaction: &impl GenericClient,
    statement: &Statement,
    class: &str,
    rows: &[CellRow],
) -> Result<(), Error> {
    let top_errors: Vec<String> = column(rows, |row| top_errors_json(&row.top_errors));
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &class,
        &column(rows, |row| &*row.notebook_path),
        &column(rows, |row| &*row.cell_id),
        &column(rows, |row| row.last_event),
        &column(rows, |row| row.cell_index),
        &column(rows, |row| row.runs),
        &column(rows, |row| row.failed_runs),
        &column(rows, |row| row.students),
        &column(rows, |row| row.failing_students),
        &column(&top_errors, |text| RawJson(text)),
    ];
    transaction.execute(statement, &parameters).await.map(drop)
}

fn streaks_json(streaks: &[StreakColumn]) -> String {
    let mut out = String::from("[");
    let text = |text: Option<&str>, out: &mut String| match text {
        Some(text) => json::write_string(text, out),
        None => out.push_str("null"),
    };
    for (index, streak) in streaks.iter().enumerate() {
        out.push_str(if index > 0 { ",[" } else { "[" });
        text(streak.notebook_path.as_deref(), &mut out);
        out.push(',');
        text(streak.cell_id.as_deref(), &mut out);
        match streak.cell_index {
            Some(index) => out.push_str(&format!(",{index}")),
            None => out.push_str(",null"),
        }
        let failed_at = streak.failed_at.to_rfc3339();
        out.push_str(&format!(",{},\"{failed_at}\"]", streak.failures));
    }
    out.push(']');
    out
}

fn top_errors_json(errors: &[TopError]) -> String {
    let mut out = String::from("[");
    for (index, error) in errors.iter().enumerate() {
        out.push_str(if index > 0 { ",[" } else { "[" });
        json::write_string(&error.message, &mut out);
        out.push_str(&format!(",{}]", error.count));
    }
    out.push(']');
    out
}

async fn upsert_student_cells(
    transaction: &impl GenericClient,
    statement: &Statement,
    class: &str,
    rows: &[StudentCellRow],
) -> Result<(), Error> {
    let parameters: [&(dyn ToSql + Sync); 13] = [
        &class,
        &column(rows, |row| &*row.student_id),
        &column(rows, |row| &*row.notebook_path),
        &column(rows, |row| &*row.cell_id),
        &column(rows, |row| row.last_event),
        &column(rows, |row| row.runs),
        &column(rows, |row| row.failed_runs),
        &column(rows, |row| row.failed),
        &column(rows, |row| PgMicros(row.last_run_at)),
        &column(rows, |row| PgMicros(row.last_run_time)),
        &column(rows, |row| row.last_run_execution_count),
        &column(rows, |row| row.last_run_session_id.as_deref()),
        &column(rows, |row| row.last_run_event),
    ];
    transaction.execute(statement, &parameters).await.map(drop)
}

async fn upsert_minutes(
    transaction: &impl GenericClient,
    statement: &Statement,
    class: &str,
    rows: &[MinuteRow],
) -> Result<(), Error> {
    let parameters: [&(dyn ToSql + Sync); 5] = [
        &class,
        &column(rows, |row| PgMicros(row.start)),
        &column(rows, |row| row.runs),
        &column(rows, |row| row.errors),
        &column(rows, |row| row.help),
    ];
    transaction.execute(statement, &parameters).await.map(drop)
}

async fn upsert_lessons(
    transaction: &impl GenericClient,
    statement: &Statement,
    class: &str,
    rows: &[LessonRow],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let parameters: [&(dyn ToSql + Sync); 8] = [
        &class,
        &column(rows, |row| row.first_event),
        &column(rows, |row| row.last_event),
        &column(rows, |row| PgMicros(row.started_at)),
        &column(rows, |row| PgMicros(row.ended_at)),
        &column(rows, |row| row.students),
        &column(rows, |row| row.runs),
        &column(rows, |row| row.title.as_deref()),
    ];
    transaction.execute(statement, &parameters).await.map(drop)
}
