//! Writing what has changed of a class.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, GenericClient, Statement, Transaction};

use super::tables::{CELLS, PAIRS, STUDENTS, TABLES, Table};
use crate::event::{ClassId, Micros, json};
use crate::store::rows::{Cell, CellRow, Changes, LastRun, Minute, RunsRow, Student, StudentRow};
use crate::store::session::Session;
use crate::store::types::{PgMicros, RawJson};

/// Rows of one statement: what is more goes into the next, in the same transaction.
const STATEMENT_ROWS: usize = 2_000;

/// A connection that writes snapshots.
#[derive(Debug)]
pub struct SnapshotWriter {
    /// The connection.
    pub session: Session,
    statements: SnapshotStatements,
}

/// What is run on it.
#[derive(Debug)]
pub struct SnapshotStatements {
    class: Statement,
    upserts: [Statement; 4],
    deletes: [Statement; 3],
    delete_minutes: Statement,
}

impl SnapshotWriter {
    /// Prepares `session` for writing.
    ///
    /// # Errors
    /// The database's.
    pub async fn new(session: Session) -> Result<Self, Error> {
        const CLASS_UPSERT: &str = "\
            INSERT INTO class_state (class_id, through_id, events, students, last_received_at, \
            last_event_id, nonce) \
            VALUES ($1, $2, $3, $4, $5, $6, $7) \
            ON CONFLICT (class_id) DO UPDATE SET (through_id, events, students, last_received_at, \
            last_event_id, nonce, updated_at) = \
            ROW(EXCLUDED.through_id, EXCLUDED.events, EXCLUDED.students, \
            EXCLUDED.last_received_at, EXCLUDED.last_event_id, \
                EXCLUDED.nonce, clock_timestamp())";
        let client = &session.client;
        let class = client.prepare(CLASS_UPSERT).await?;
        let [students, cells, pairs, minutes] = TABLES.map(Table::upsert);
        let upserts = [
            client.prepare(&students).await?,
            client.prepare(&cells).await?,
            client.prepare(&pairs).await?,
            client.prepare(&minutes).await?,
        ];
        let deletes = [
            client.prepare(&STUDENTS.delete()).await?,
            client.prepare(&CELLS.delete()).await?,
            client.prepare(&PAIRS.delete()).await?,
        ];
        let delete_minutes =
            client.prepare("DELETE FROM activity_state WHERE class_id = $1 AND start < $2").await?;
        Ok(Self {
            session,
            statements: SnapshotStatements { class, upserts, deletes, delete_minutes },
        })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&mut self) -> Result<(Transaction<'_>, &SnapshotStatements), Error> {
        Ok((self.session.client.transaction().await?, &self.statements))
    }
}

impl SnapshotStatements {
    /// Writes a class's changes and its new id in `transaction`, one of this connection's, under a
    /// nonce that it holds: see [`hold_log`](crate::store::hold_log).
    ///
    /// # Errors
    /// The database's; nothing of the transaction may be kept then.
    pub async fn write(
        &self,
        transaction: &impl GenericClient,
        nonce: &str,
        class: &ClassId,
        changes: &Changes,
    ) -> Result<(), Error> {
        let name = class.as_str();
        let row = &changes.rows.class;
        let received = row.last_received_at.map(|at| PgMicros(Micros(at)));
        let parameters: [&(dyn ToSql + Sync); 7] =
            [&name, &row.through, &row.events, &row.students, &received, &row.last_event, &nonce];
        transaction.execute(&self.class, &parameters).await?;
        if changes.whole {
            for table in TABLES {
                // A constant's name, no value.
                let delete = format!("DELETE FROM {} WHERE class_id = $1", table.name);
                transaction.execute(&delete, &[&name]).await?;
            }
        }
        self.delete(transaction, name, changes).await?;
        let [students, cells, pairs, minutes] = &self.upserts;
        for rows in changes.rows.students.chunks(STATEMENT_ROWS) {
            upsert_students(transaction, students, name, rows).await?;
        }
        for rows in changes.rows.cells.chunks(STATEMENT_ROWS) {
            upsert_cells(transaction, cells, name, rows).await?;
        }
        for rows in changes.rows.runs.chunks(STATEMENT_ROWS) {
            upsert_pairs(transaction, pairs, name, rows).await?;
        }
        let rows = &changes.rows.minutes;
        let starts: Vec<PgMicros> =
            rows.iter().map(|&(start, _)| PgMicros(Micros(start))).collect();
        let column =
            |of: fn(&Minute) -> i64| rows.iter().map(|(_, minute)| of(minute)).collect::<Vec<_>>();
        let (runs, errors, help) = (column(|m| m.runs), column(|m| m.errors), column(|m| m.help));
        transaction.execute(minutes, &[&name, &starts, &runs, &errors, &help]).await?;
        Ok(())
    }

    async fn delete(
        &self,
        transaction: &impl GenericClient,
        name: &str,
        changes: &Changes,
    ) -> Result<(), Error> {
        let [students, cells, pairs] = &self.deletes;
        let gone: Vec<&str> = changes.gone_students.iter().map(|student| &**student).collect();
        if !gone.is_empty() {
            transaction.execute(students, &[&name, &gone]).await?;
        }
        let (notebooks, ids): (Vec<&str>, Vec<&str>) =
            changes.gone_cells.iter().map(|(n, c)| (&**n, &**c)).unzip();
        if !ids.is_empty() {
            transaction.execute(cells, &[&name, &notebooks, &ids]).await?;
        }
        let gone = &changes.gone_runs;
        if !gone.is_empty() {
            let students: Vec<&str> = gone.iter().map(|(student, _, _)| &**student).collect();
            let notebooks: Vec<&str> = gone.iter().map(|(_, notebook, _)| &**notebook).collect();
            let ids: Vec<&str> = gone.iter().map(|(_, _, cell)| &**cell).collect();
            transaction.execute(pairs, &[&name, &students, &notebooks, &ids]).await?;
        }
        if let Some(begin) = changes.minutes_begin {
            transaction.execute(&self.delete_minutes, &[&name, &PgMicros(Micros(begin))]).await?;
        }
        Ok(())
    }
}

fn moment(micros: Option<i64>) -> Option<PgMicros> {
    micros.map(|micros| PgMicros(Micros(micros)))
}

async fn upsert_students(
    transaction: &impl GenericClient,
    statement: &Statement,
    class: &str,
    rows: &[StudentRow],
) -> Result<(), Error> {
    fn column<'a, T>(rows: &'a [StudentRow], of: impl Fn(&'a Student) -> T) -> Vec<T> {
        rows.iter().map(|(_, _, student)| of(student)).collect()
    }
    fn run<'a, T>(student: &'a Student, of: impl Fn(&'a LastRun) -> Option<T>) -> Option<T> {
        student.last_run.as_ref().and_then(of)
    }
    let names: Vec<&str> = rows.iter().map(|(name, _, _)| &**name).collect();
    let events: Vec<i64> = rows.iter().map(|&(_, event, _)| event).collect();
    let parameters: [&(dyn ToSql + Sync); 25] = [
        &class,
        &names,
        &events,
        &column(rows, |s| s.user_name.as_deref()),
        &column(rows, |s| s.team_name.as_deref()),
        &column(rows, |s| s.notebook_path.as_deref()),
        &column(rows, |s| s.cell_id.as_deref()),
        &column(rows, |s| s.cell_index),
        &column(rows, |s| s.last_event_type.as_deref()),
        &column(rows, |s| PgMicros(Micros(s.last_event_time))),
        &column(rows, |s| PgMicros(Micros(s.last_received_at))),
        &column(rows, |s| s.cells_executed),
        &column(rows, |s| s.error_count),
        &column(rows, |s| s.consecutive_errors),
        &column(rows, |s| s.streak_cell.as_deref()),
        &column(rows, |s| run(s, |run| run.session_id.as_deref())),
        &column(rows, |s| run(s, |run| run.notebook_path.as_deref())),
        &column(rows, |s| run(s, |run| run.cell_id.as_deref())),
        &column(rows, |s| run(s, |run| run.execution_count)),
        &column(rows, |s| moment(run(s, |run| Some(run.at)))),
        &column(rows, |s| moment(run(s, |run| Some(run.received_at)))),
        &column(rows, |s| moment(s.help_since)),
        &column(rows, |s| moment(s.last_help_at)),
        &column(rows, |s| s.hand_closed),
        &column(rows, |s| moment(s.hand_lowered_at)),
    ];
    transaction.execute(statement, &parameters).await.map(drop)
}

async fn upsert_cells(
    transaction: &impl GenericClient,
    statement: &Statement,
    class: &str,
    rows: &[CellRow],
) -> Result<(), Error> {
    fn column<T>(rows: &[CellRow], of: impl Fn(&Cell) -> T) -> Vec<T> {
        rows.iter().map(|(_, _, _, cell)| of(cell)).collect()
    }
    let notebooks: Vec<&str> = rows.iter().map(|(notebook, _, _, _)| &**notebook).collect();
    let ids: Vec<&str> = rows.iter().map(|(_, cell, _, _)| &**cell).collect();
    let events: Vec<i64> = rows.iter().map(|&(_, _, event, _)| event).collect();
    let messages: Vec<String> = column(rows, messages_json);
    let messages: Vec<RawJson<'_>> = messages.iter().map(|text| RawJson(text)).collect();
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &class,
        &notebooks,
        &ids,
        &events,
        &column(rows, |cell| cell.cell_index),
        &column(rows, |cell| cell.runs),
        &column(rows, |cell| cell.failed_runs),
        &column(rows, |cell| cell.students),
        &column(rows, |cell| cell.failing_students),
        &messages,
    ];
    transaction.execute(statement, &parameters).await.map(drop)
}

fn messages_json(cell: &Cell) -> String {
    let mut out = String::from("[");
    for (index, (message, count)) in cell.messages.iter().enumerate() {
        out.push_str(if index > 0 { ",[" } else { "[" });
        json::write_string(message, &mut out);
        out.push_str(&format!(",{count}]"));
    }
    out.push(']');
    out
}

async fn upsert_pairs(
    transaction: &impl GenericClient,
    statement: &Statement,
    class: &str,
    rows: &[RunsRow],
) -> Result<(), Error> {
    let students: Vec<&str> = rows.iter().map(|row| &*row.0).collect();
    let notebooks: Vec<&str> = rows.iter().map(|row| &*row.1).collect();
    let ids: Vec<&str> = rows.iter().map(|row| &*row.2).collect();
    let events: Vec<i64> = rows.iter().map(|row| row.3).collect();
    let runs: Vec<i64> = rows.iter().map(|row| row.4.runs).collect();
    let failed_runs: Vec<i64> = rows.iter().map(|row| row.4.failed_runs).collect();
    let failed: Vec<bool> = rows.iter().map(|row| row.4.failed).collect();
    let at: Vec<PgMicros> = rows.iter().map(|row| PgMicros(Micros(row.4.at))).collect();
    let parameters: [&(dyn ToSql + Sync); 9] =
        [&class, &students, &notebooks, &ids, &events, &runs, &failed_runs, &failed, &at];
    transaction.execute(statement, &parameters).await.map(drop)
}
