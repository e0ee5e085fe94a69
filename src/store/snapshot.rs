//! Snapshots of class state: how they are read and written.

use futures::future;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, GenericClient, IsolationLevel, Row, Statement, Transaction};

use super::connect::Session;
use super::rows::{
    Cell, CellRow, Changes, ClassRow, LastRun, Minute, Runs, RunsRow, Snapshot, Student, StudentRow,
};
use super::types::{PgMicros, RawJson};
use crate::event::{ClassId, Micros, json};

/// Rows of one statement: what is more goes into the next, in the same transaction.
const STATEMENT_ROWS: usize = 2_000;

/// Columns and their types; the keys come first.
type Columns = &'static [(&'static str, &'static str)];

const STUDENT: Columns = &[
    ("student_id", "text"),
    ("last_event_id", "bigint"),
    ("user_name", "text"),
    ("team_name", "text"),
    ("notebook_path", "text"),
    ("cell_id", "text"),
    ("cell_index", "bigint"),
    ("last_event_type", "text"),
    ("last_event_time", "timestamptz"),
    ("last_received_at", "timestamptz"),
    ("cells_executed", "bigint"),
    ("error_count", "bigint"),
    ("consecutive_errors", "bigint"),
    ("streak_cell", "text"),
    ("last_run_session_id", "text"),
    ("last_run_notebook_path", "text"),
    ("last_run_cell_id", "text"),
    ("last_run_execution_count", "bigint"),
    ("last_run_at", "timestamptz"),
    ("last_run_received_at", "timestamptz"),
    ("help_since", "timestamptz"),
    ("last_help_at", "timestamptz"),
    ("hand_closed", "boolean"),
    ("hand_lowered_at", "timestamptz"),
];
const CELL: Columns = &[
    ("notebook_path", "text"),
    ("cell_id", "text"),
    ("last_event_id", "bigint"),
    ("cell_index", "bigint"),
    ("runs", "bigint"),
    ("failed_runs", "bigint"),
    ("students", "bigint"),
    ("failing_students", "bigint"),
    ("top_errors", "json"),
];
const RUNS: Columns = &[
    ("student_id", "text"),
    ("notebook_path", "text"),
    ("cell_id", "text"),
    ("last_event_id", "bigint"),
    ("runs", "bigint"),
    ("failed_runs", "bigint"),
    ("failed", "boolean"),
    ("last_run_at", "timestamptz"),
];
const MINUTE: Columns =
    &[("start", "timestamptz"), ("runs", "bigint"), ("errors", "bigint"), ("help", "bigint")];

/// A table of snapshots.
struct Table {
    name: &'static str,
    keys: usize,
    columns: Columns,
}

const STUDENTS: Table = Table { name: "student_state", keys: 1, columns: STUDENT };
const CELLS: Table = Table { name: "cell_state", keys: 2, columns: CELL };
const PAIRS: Table = Table { name: "student_cell_state", keys: 3, columns: RUNS };
const MINUTES: Table = Table { name: "activity_state", keys: 1, columns: MINUTE };
const TABLES: [&Table; 4] = [&STUDENTS, &CELLS, &PAIRS, &MINUTES];

impl Table {
    fn names(&self, prefix: &str) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| format!("{prefix}{name}")).collect();
        names.join(", ")
    }

    /// `$1` the class.
    fn select(&self) -> String {
        format!("SELECT {} FROM {} WHERE class_id = $1", self.names(""), self.name)
    }

    /// `$1` the class, then an array a column.
    fn upsert(&self) -> String {
        let arrays: Vec<String> =
            self.columns.iter().enumerate().map(|(at, (_, kind))| format!("${}::{kind}[]", at + 2)).collect();
        let keys: Vec<&str> = self.columns[..self.keys].iter().map(|&(name, _)| name).collect();
        let values: Vec<&str> = self.columns[self.keys..].iter().map(|&(name, _)| name).collect();
        format!(
            "INSERT INTO {table} (class_id, {columns}) SELECT $1, * FROM unnest({arrays}) \
             ON CONFLICT (class_id, {keys}) DO UPDATE SET ({values}) = ROW(EXCLUDED.{excluded})",
            table = self.name,
            columns = self.names(""),
            arrays = arrays.join(", "),
            keys = keys.join(", "),
            values = values.join(", "),
            excluded = values.join(", EXCLUDED."),
        )
    }

    /// `$1` the class, then an array a key.
    fn delete(&self) -> String {
        let keys = &self.columns[..self.keys];
        let arrays: Vec<String> =
            keys.iter().enumerate().map(|(at, (_, kind))| format!("${}::{kind}[]", at + 2)).collect();
        let names: Vec<&str> = keys.iter().map(|&(name, _)| name).collect();
        let same: Vec<String> = names.iter().map(|name| format!("kept.{name} = gone.{name}")).collect();
        format!(
            "DELETE FROM {} AS kept USING unnest({}) AS gone({}) WHERE kept.class_id = $1 AND {}",
            self.name,
            arrays.join(", "),
            names.join(", "),
            same.join(" AND ")
        )
    }
}

/// The statements that read, for a test of their plans: `$1` is the class.
pub fn select_statements() -> Vec<String> {
    std::iter::once(select_class()).chain(TABLES.iter().map(|table| table.select())).collect()
}

/// A snapshot counts only with the nonce under which it was made. A promotion changes the epoch and not the nonce: what is
/// in the tables followed the events in the same log, so it is right there too. Always one row: a class without a snapshot
/// has no event up to the id that holds for all.
fn select_class() -> String {
    "SELECT greatest(kept.through_id, overall.through_id, 0), coalesce(events, 0), coalesce(students, 0), \
            last_received_at, coalesce(last_event_id, 0) \
     FROM progress_log \
     LEFT JOIN state_through AS overall ON overall.nonce = progress_log.nonce \
     LEFT JOIN class_state AS kept ON kept.class_id = $1 AND kept.nonce = progress_log.nonce"
        .to_owned()
}

/// Reads a class's snapshot, all tables as of one moment; an empty one if there is none.
///
/// # Errors
/// The database's.
pub async fn read_snapshot(client: &mut Client, class: &ClassId) -> Result<Snapshot, Error> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let snapshot = read_in(&transaction, class).await?;
    transaction.commit().await?;
    Ok(snapshot)
}

/// The same, within a transaction of the caller's.
///
/// # Errors
/// The database's.
pub async fn read_in(transaction: &Transaction<'_>, class: &ClassId) -> Result<Snapshot, Error> {
    let class = class.as_str();
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&class, Type::TEXT)];
    let select = select_class();
    let [students, cells, runs, minutes] = TABLES.map(Table::select);
    // Sent one after the other without waiting; answered in that order, in the same snapshot.
    let (class, students, cells, runs, minutes) = future::try_join5(
        transaction.query_typed(&select, &parameters),
        transaction.query_typed(&students, &parameters),
        transaction.query_typed(&cells, &parameters),
        transaction.query_typed(&runs, &parameters),
        transaction.query_typed(&minutes, &parameters),
    )
    .await?;
    let class = class.first().map(class_row).transpose()?.unwrap_or_default();
    if class.last_event == 0 {
        // Of another nonce, or none.
        return Ok(Snapshot { class, ..Snapshot::default() });
    }
    Ok(Snapshot {
        class,
        students: students.iter().map(student).collect::<Result<_, _>>()?,
        cells: cells.iter().map(cell).collect::<Result<_, _>>()?,
        runs: runs.iter().map(pair).collect::<Result<_, _>>()?,
        minutes: minutes.iter().map(minute).collect::<Result<_, _>>()?,
    })
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

fn pair(row: &Row) -> Result<RunsRow, Error> {
    let runs = Runs {
        runs: row.try_get(4)?,
        failed_runs: row.try_get(5)?,
        failed: row.try_get(6)?,
        at: time(row, 7)?,
    };
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, runs))
}

fn minute(row: &Row) -> Result<(i64, Minute), Error> {
    Ok((time(row, 0)?, Minute { runs: row.try_get(1)?, errors: row.try_get(2)?, help: row.try_get(3)? }))
}

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
            INSERT INTO class_state (class_id, through_id, events, students, last_received_at, last_event_id, nonce) \
            SELECT $1, $2, $3, $4, $5, $6, nonce FROM progress_log \
            ON CONFLICT (class_id) DO UPDATE SET (through_id, events, students, last_received_at, last_event_id, nonce, updated_at) = \
            ROW(EXCLUDED.through_id, EXCLUDED.events, EXCLUDED.students, EXCLUDED.last_received_at, EXCLUDED.last_event_id, \
                EXCLUDED.nonce, clock_timestamp())";
        let client = &session.client;
        // A snapshot that a crash undoes is made again from the events: there is no need to wait for the disk.
        client.batch_execute("SET synchronous_commit = off").await?;
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
        Ok(Self { session, statements: SnapshotStatements { class, upserts, deletes, delete_minutes } })
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
    /// Writes a class's changes and its new id in `transaction`, one of this connection's.
    ///
    /// # Errors
    /// The database's; nothing of the transaction may be kept then.
    pub async fn write(
        &self,
        transaction: &impl GenericClient,
        class: &ClassId,
        changes: &Changes,
    ) -> Result<(), Error> {
        let name = class.as_str();
        // The class's own row first: whoever else writes a class's snapshot waits for it there.
        let row = &changes.rows.class;
        let received = row.last_received_at.map(|at| PgMicros(Micros(at)));
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&name, &row.through, &row.events, &row.students, &received, &row.last_event];
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
        let starts: Vec<PgMicros> = rows.iter().map(|&(start, _)| PgMicros(Micros(start))).collect();
        let column = |of: fn(&Minute) -> i64| rows.iter().map(|(_, minute)| of(minute)).collect::<Vec<_>>();
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
